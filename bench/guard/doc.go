// Command guard counts the instructions of the hot calls, and compares the counts
// with those in counts.txt. Unlike a time, a count is the same on a busy machine,
// so that a few per cent more can be seen and a build be stopped by them.
//
// It runs each call N and 3N times under valgrind's callgrind, on one processor
// and without garbage collection, and divides the difference by 2N: what the
// program does besides falls out. Counts depend on the compiler; counts.txt says
// which one made them, and another one has to record its own with -update.
package main
