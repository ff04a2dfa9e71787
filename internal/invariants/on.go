//go:build race || logbuf_invariants

// Package invariants switches on checks that are too dear for release builds.
// They are on in builds with -race and in builds with the tag
// logbuf_invariants, and compile to nothing elsewhere.
package invariants

// Enabled reports whether this build carries the checks.
const Enabled = true
