// SPDX-License-Identifier: Apache-2.0
//! A program made from a seed (tests/oracle/shapes.py) in Rust. usage: shape cpu|memory|io AMOUNT SEED [FILE]
use std::ffi::{c_void, CString};
use std::hint::black_box;
use std::io::Write;

#[repr(C)]
struct Timespec {
    seconds: i64,
    ns: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, to: *mut Timespec) -> i32;
    fn mmap(at: *mut c_void, size: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut c_void;
    fn madvise(at: *mut c_void, size: usize, advice: i32) -> i32;
    fn munmap(at: *mut c_void, size: usize) -> i32;
    fn open(path: *const i8, flags: i32, mode: u32) -> i32;
    fn pwrite(fd: i32, from: *const c_void, size: usize, offset: i64) -> isize;
}

const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
const READ_WRITE: i32 = 3;
const PRIVATE_ANONYMOUS: i32 = 0x22;
const NO_HUGE_PAGE: i32 = 15;
const WRITE_CREATE_DIRECT: i32 = 0o1 | 0o100 | 0o40000;
const PAGE: usize = 4096;
const PIECE: u64 = 64 << 10;
const PIECES: u64 = 8;
const SHORTEST_US: u64 = 300;

struct Turn {
    path: &'static [i16],
    until: i64,
    bytes: u64,
    state: u64,
    action: u8,
    file: i32,
    buffer: usize,
    done: Vec<u64>,
}

impl Turn {
    fn random(&mut self, n: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % n
    }
}

fn cpu_ns() -> i64 {
    let mut t = Timespec { seconds: 0, ns: 0 };
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.seconds * 1_000_000_000 + t.ns
}

#[inline(never)]
fn spin(t: &mut Turn) -> u64 {
    let mut x = 0u64;
    loop {
        for i in 0..20000u64 {
            x = black_box(x.wrapping_add(i * 7));
        }
        if cpu_ns() >= t.until {
            return x;
        }
    }
}

fn fresh(bytes: usize) -> *mut u8 {
    let p = unsafe { mmap(std::ptr::null_mut(), bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0) };
    assert!(p as isize != -1);
    p as *mut u8
}

#[inline(never)]
fn grow(t: &mut Turn) -> u64 {
    let bytes = t.bytes as usize;
    let p = fresh(bytes);
    unsafe {
        madvise(p as *mut c_void, bytes, NO_HUGE_PAGE);
        for i in (0..bytes).step_by(PAGE) {
            p.add(i).write_volatile(1);
        }
        munmap(p as *mut c_void, bytes);
    }
    1
}

#[inline(never)]
fn write_out(t: &mut Turn) -> u64 {
    let n = unsafe { pwrite(t.file, t.buffer as *const c_void, t.bytes as usize, 0) };
    assert!(n == t.bytes as isize);
    1
}

#[inline(always)]
fn next(t: &mut Turn, level: usize) -> u64 {
    if level < t.path.len() {
        return STEPS[t.path[level] as usize](t, level);
    }
    match t.action {
        b'c' => spin(t),
        b'm' => grow(t),
        _ => write_out(t),
    }
}

macro_rules! steps {
    ($($name:ident $k:literal),*) => {
        $(#[inline(never)]
        fn $name(t: &mut Turn, level: usize) -> u64 {
            black_box(next(t, level + 1)) + $k
        })*
        static STEPS: &[fn(&mut Turn, usize) -> u64] = &[$($name),*];
    };
}

include!(env!("TABLE"));

#[inline(never)]
fn begin(t: &mut Turn) -> u64 {
    black_box(next(t, 0)) + 1
}

fn run(mut t: Turn, amount: f64) -> Vec<u64> {
    let cpu = t.action == b'c';
    let start = cpu_ns();
    let wanted = (amount * if cpu { 1e9 } else { 1048576.0 }) as u64;
    let mut had = 0u64;
    while had < wanted {
        let mut pick = t.random(SHARES);
        let mut i = 0;
        while pick >= PATHS[i].1 {
            pick -= PATHS[i].1;
            i += 1;
        }
        let before = cpu_ns();
        t.path = PATHS[i].0;
        t.until = before + 1000 * (SHORTEST_US + t.random(LONGEST_US)) as i64;
        t.bytes = PIECE * (1 + t.random(PIECES));
        black_box(begin(&mut t));
        t.done[i] += if cpu { (cpu_ns() - before) as u64 } else { t.bytes };
        had = if cpu { (cpu_ns() - start) as u64 } else { had + t.bytes };
        if PAUSE_US > 0 {
            let us = t.random(PAUSE_US + 1);
            std::thread::sleep(std::time::Duration::from_micros(us));
        }
    }
    t.done
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let action = arguments[1].as_bytes()[0];
    let amount: f64 = arguments[2].parse().unwrap();
    let seed: u64 = arguments[3].parse().unwrap();
    let mut file = -1;
    let mut buffer = 0usize;
    if action == b'i' {
        buffer = fresh((PIECE * PIECES) as usize) as usize;
        let path = CString::new(arguments[4].as_str()).unwrap();
        file = unsafe { open(path.as_ptr() as *const i8, WRITE_CREATE_DIRECT, 0o600) };
        assert!(file >= 0);
    }
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line); // until told to begin, or the input's end
    let threads: Vec<_> = (0..THREADS)
        .map(|i| {
            let state = (seed + i).wrapping_mul(2654435761) + 1;
            let done = vec![0; PATHS.len()];
            let t = Turn { path: &[], until: 0, bytes: 0, state, action, file, buffer, done };
            std::thread::spawn(move || run(t, amount))
        })
        .collect();
    let done: Vec<Vec<u64>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let leaf = match action {
        b'c' => "spin",
        b'm' => "grow",
        _ => "write_out",
    };
    for (i, (path, _)) in PATHS.iter().enumerate() {
        let names: Vec<String> = path.iter().map(|k| format!("step_{}", k)).collect();
        let sum: u64 = done.iter().map(|d| d[i]).sum();
        println!("begin;{};{} {}", names.join(";"), leaf, sum);
    }
    println!();
    let _ = std::io::stdout().flush();
    while std::io::stdin().read_line(&mut line).unwrap_or(0) > 0 {}
}
