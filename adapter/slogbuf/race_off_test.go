//go:build !race

package slogbuf_test

const raceEnabled = false
