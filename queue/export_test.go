package queue

// Rings whose positions begin at start, a multiple of 8, for tests in other
// packages of this directory.
var (
	NewSPSCAt  = newSPSC
	NewMPSCAt  = newMPSC
	NewFanInAt = newFanIn
)
