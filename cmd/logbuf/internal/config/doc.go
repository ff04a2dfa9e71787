// Package config makes a capture.Config of what a user says to `logbuf record`,
// on the command line (FromArgs) or in a YAML file (FromFile).
//
// What can be said is in two structs of flag values: Recording, of the recording
// as a whole, and Source, of one source. The command line says one Source for
// all of them, a file one for each.
//
// The keys of a file are the names of the flags: a flag that is registered by
// AddFlags is a key, read by the same parser and checked by the same function.
// Besides there are defaults, sources, url, name, headers, urgent and ${…}, which
// only a file has. A file is walked as a tree, not decoded into a struct, so that
// everything that is wrong with it is found at once and has a line.
package config
