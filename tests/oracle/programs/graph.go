// SPDX-License-Identifier: Apache-2.0

// A known call graph in Go: interfaces, closures, defer, a panic, goroutines. usage: graph CPU_SECONDS SEED
package main

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strconv"
	"syscall"
	"unsafe"
)

var sink uint64

const clockThreadCPU = 3

func cpuNs() int64 {
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}

//go:noinline
func tiny(i uint64) uint64 { // no frame of its own
	return sink + i*7
}

//go:noinline
func leafA(until int64) {
	for {
		for i := uint64(0); i < 20000; i++ {
			sink = tiny(i)
		}
		if cpuNs() >= until {
			return
		}
	}
}

type shape interface{ visit(until int64) }
type circle struct{ n uint64 }

//go:noinline
func (c *circle) visit(until int64) {
	leafA(until)
	sink += c.n
}

//go:noinline
func dynamic(until int64) {
	shapes := []shape{&circle{1}, &circle{2}}
	shapes[sink&1].visit(until)
	sink++
}

//go:noinline
func down(until int64, n int) {
	if n == 0 {
		leafA(until)
	} else {
		down(until, n-1)
	}
	sink++
}

//go:noinline
func recursive(until int64) {
	down(until, 3)
	sink++
}

//go:noinline
func atEnd(until int64) {
	leafA(until)
	sink++
}

//go:noinline
func deferring(until int64) {
	defer atEnd(until)
	sink++
}

type two struct{ until int64 }

func (t *two) Len() int      { return 2 }
func (t *two) Swap(i, j int) {}

//go:noinline
func (t *two) Less(i, j int) bool {
	if t.until != 0 {
		leafA(t.until)
	}
	t.until = 0
	return false
}

//go:noinline
func sorting(until int64) {
	sort.Sort(&two{until})
	sink++
}

var paths = []struct {
	stack string
	run   func(int64)
}{
	{"work;dynamic;visit;leafA", dynamic},
	{"work;recursive;down;down;down;down;leafA", recursive},
	{"work;deferring;atEnd;leafA", deferring},
	{"work;sorting;Less;leafA", sorting},
}

//go:noinline
func work(seconds float64, seed int64, done chan []int64) {
	runtime.LockOSThread()
	random := rand.New(rand.NewSource(seed))
	spent := make([]int64, len(paths))
	wanted := cpuNs() + int64(seconds*1e9)
	for before := cpuNs(); before < wanted; before = cpuNs() {
		i := random.Intn(len(paths))
		paths[i].run(before + 500000 + random.Int63n(3000000))
		spent[i] += cpuNs() - before
	}
	done <- spent
}

func main() {
	seconds, _ := strconv.ParseFloat(os.Args[1], 64)
	seed, _ := strconv.ParseInt(os.Args[2], 10, 64)
	os.Stdin.Read(make([]byte, 1)) // until told to begin, or the input's end
	done := make(chan []int64)
	go work(seconds, seed, done)
	for i, ns := range <-done {
		// tiny() has no frame, but is a function: where leafA spends nearly all of its time
		fmt.Printf("%s;tiny %d\n", paths[i].stack, ns)
	}
	fmt.Println()
	io.Copy(io.Discard, os.Stdin) // a profiler that reads names at its end finds us here
}
