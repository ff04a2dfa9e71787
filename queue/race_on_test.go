//go:build race

package queue

// raceEnabled makes the tests do less: the detector is ten times slower, and
// sync.Pool drops things on purpose.
const raceEnabled = true
