// SPDX-License-Identifier: Apache-2.0

// A program made from a seed (tests/oracle/shapes.py) in Go: a goroutine for each thread. usage: shape cpu|memory|io AMOUNT SEED [FILE]
package main

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	clockThreadCPU = 3
	page           = 4096
	piece          = 64 << 10
	pieces         = 8
	shortestUs     = 300
	noHugePage     = 15
)

type path struct {
	steps []int
	share int
}

type turn struct {
	path   []int
	until  int64
	bytes  int
	sum    int
	done   []int64
	random *rand.Rand
}

var (
	act    func(*turn)
	leaf   string
	amount float64
	file   int
	buffer []byte
	sink   uint64
)

func cpuNs() int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

//go:noinline
func spin(t *turn) {
	for {
		x := uint64(0)
		for i := uint64(0); i < 20000; i++ {
			x = x*3 + i
		}
		t.sum += int(x & 1)
		if cpuNs() >= t.until {
			return
		}
	}
}

func fresh(bytes int) []byte {
	m, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		panic(err)
	}
	return m
}

//go:noinline
func takePages(t *turn) {
	m := fresh(t.bytes)
	syscall.Madvise(m, noHugePage)
	for i := 0; i < len(m); i += page {
		m[i] = 1
	}
	syscall.Munmap(m)
}

//go:noinline
func writeOut(t *turn) {
	n, err := syscall.Pwrite(file, buffer[:t.bytes], 0)
	if n != t.bytes || err != nil {
		panic(err)
	}
}

// Small enough to be inlined.
func next(t *turn, level int) {
	if level == len(t.path) {
		act(t)
	} else {
		steps[t.path[level]](t, level)
	}
}

//go:noinline
func begin(t *turn) {
	next(t, 0)
	t.sum++
}

func (t *turn) picked() int {
	pick, i := t.random.Intn(SHARES), 0
	for pick >= paths[i].share {
		pick -= paths[i].share
		i++
	}
	return i
}

func run(seed int64, done chan []int64) {
	runtime.LockOSThread()
	t := &turn{random: rand.New(rand.NewSource(seed)), done: make([]int64, len(paths))}
	cpu := leaf == "spin"
	unit := 1e9
	if !cpu {
		unit = 1 << 20
	}
	wanted, start := int64(amount*unit), cpuNs()
	for had := int64(0); had < wanted; {
		i := t.picked()
		before := cpuNs()
		t.path = paths[i].steps
		t.until = before + 1000*(shortestUs+t.random.Int63n(LONGEST_US))
		t.bytes = piece * (1 + t.random.Intn(pieces))
		begin(t)
		if cpu {
			t.done[i] += cpuNs() - before
			had = cpuNs() - start
		} else {
			t.done[i] += int64(t.bytes)
			had += int64(t.bytes)
		}
		if PAUSE_US > 0 {
			time.Sleep(time.Duration(t.random.Intn(PAUSE_US+1)) * time.Microsecond)
		}
	}
	done <- t.done
}

func prepare() {
	amount, _ = strconv.ParseFloat(os.Args[2], 64)
	switch os.Args[1] {
	case "cpu":
		act, leaf = spin, "spin"
	case "memory":
		act, leaf = takePages, "takePages" // the runtime has functions called grow
	default:
		act, leaf = writeOut, "writeOut"
		buffer = fresh(piece * pieces)
		var err error
		if file, err = syscall.Open(os.Args[4], syscall.O_WRONLY|syscall.O_CREAT|syscall.O_DIRECT, 0600); err != nil {
			panic(err)
		}
	}
}

func main() {
	prepare()
	seed, _ := strconv.ParseInt(os.Args[3], 10, 64)
	os.Stdin.Read(make([]byte, 1)) // until told to begin, or the input's end
	done, sum := make(chan []int64), make([]int64, len(paths))
	for i := 0; i < THREADS; i++ {
		go run(seed+int64(i), done)
	}
	for i := 0; i < THREADS; i++ {
		for k, v := range <-done {
			sum[k] += v
		}
	}
	for i, p := range paths {
		names := []string{"begin"}
		for _, s := range p.steps {
			names = append(names, "step_"+strconv.Itoa(s))
		}
		fmt.Printf("%s;%s %d\n", strings.Join(names, ";"), leaf, sum[i])
	}
	fmt.Println()
	io.Copy(io.Discard, os.Stdin)
}
