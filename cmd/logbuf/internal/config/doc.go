// Package config makes a capture.Config of what a user says on the command line
// of `logbuf record`.
//
// What can be said is in two structs of flag values: Recording, of the recording
// as a whole, and Source, of one source. The command line says one Source for
// all of them.
package config
