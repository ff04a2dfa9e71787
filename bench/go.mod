module github.com/nexus-logbuf/logbuf/bench

go 1.26.0

require github.com/nexus-logbuf/logbuf v0.0.0

require (
	github.com/klauspost/compress v1.20.3 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/nexus-logbuf/logbuf => ..
