package main

// ticks reads the processor's time stamp counter: time.Now has a granularity of
// 10 ns on some virtual machines, as much as the call that is measured.
//
//go:noescape
func ticks() int64

const tickName = "cycles of the time stamp counter"
