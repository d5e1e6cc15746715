// SPDX-License-Identifier: Apache-2.0
//! A known call graph in Rust: traits, closures, recursion, a panic that is caught. usage: graph CPU_SECONDS SEED
use std::hint::black_box;

#[repr(C)]
struct Timespec {
    seconds: i64,
    ns: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, to: *mut Timespec) -> i32;
}

const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

fn cpu_ns() -> i64 {
    let mut t = Timespec { seconds: 0, ns: 0 };
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.seconds * 1_000_000_000 + t.ns
}

#[inline(never)]
fn leaf_a(until: i64) -> u64 {
    let mut x = 0u64;
    loop {
        for i in 0..20000u64 {
            x = black_box(x.wrapping_add(i * 7));
        }
        if cpu_ns() >= until {
            return x;
        }
    }
}

trait Shape {
    fn visit(&self, until: i64) -> u64;
}

struct Circle(u64);

impl Shape for Circle {
    #[inline(never)]
    fn visit(&self, until: i64) -> u64 {
        black_box(leaf_a(until)) + self.0
    }
}

#[inline(never)]
fn dynamic(until: i64) -> u64 {
    let shape: Box<dyn Shape> = black_box(Box::new(Circle(3)));
    black_box(shape.visit(until)) + 1
}

#[inline(never)]
fn down(until: i64, n: u32) -> u64 {
    black_box(if n == 0 { leaf_a(until) } else { down(until, n - 1) }) + 1
}

#[inline(never)]
fn recursive(until: i64) -> u64 {
    black_box(down(until, 3)) + 1
}

#[inline(never)]
fn apply(f: &dyn Fn(i64) -> u64, until: i64) -> u64 {
    black_box(f(until)) + 1
}

#[inline(never)]
fn in_closure(until: i64) -> u64 {
    black_box(leaf_a(until)) + 1
}

#[inline(never)]
fn closures(until: i64) -> u64 {
    black_box(apply(&|u| black_box(in_closure(u)) + 1, until)) + 1
}

#[inline(never)]
fn panics(until: i64) -> u64 {
    let r = std::panic::catch_unwind(|| {
        if black_box(true) {
            std::panic::resume_unwind(Box::new(1u8));
        }
    });
    black_box(if r.is_err() { leaf_a(until) } else { 0 }) + 1
}

#[inline(never)]
fn work() {
    let arguments: Vec<String> = std::env::args().collect();
    let seconds: f64 = arguments[1].parse().unwrap();
    let mut state: u64 = arguments[2].parse::<u64>().unwrap() * 2654435761 + 1;
    let mut random = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    };
    let paths: [(&str, fn(i64) -> u64); 4] = [
        ("work;dynamic;visit;leaf_a", dynamic),
        ("work;recursive;down;down;down;down;leaf_a", recursive),
        ("work;closures;apply;in_closure;leaf_a", closures),
        ("work;panics;leaf_a", panics),
    ];
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line); // until told to begin, or the input's end
    let mut spent = [0i64; 4];
    let wanted = cpu_ns() + (seconds * 1e9) as i64;
    loop {
        let before = cpu_ns();
        if before >= wanted {
            break;
        }
        let i = random(4) as usize;
        black_box(paths[i].1(before + 500_000 + random(3_000_000) as i64));
        spent[i] += cpu_ns() - before;
    }
    for (i, (stack, _)) in paths.iter().enumerate() {
        println!("{} {}", stack, spent[i]);
    }
    println!();
    while std::io::stdin().read_line(&mut line).unwrap_or(0) > 0 {} // a profiler that reads names at its end finds us here
}

fn main() {
    work();
    black_box(0);
}
