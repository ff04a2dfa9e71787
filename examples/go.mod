module github.com/nexus-logbuf/logbuf/examples

go 1.26.0

replace github.com/nexus-logbuf/logbuf => ..

replace github.com/nexus-logbuf/logbuf/adapter/wsbuf => ../adapter/wsbuf

require (
	github.com/nexus-logbuf/logbuf v0.0.0-00010101000000-000000000000
	github.com/rs/zerolog v1.35.1
	go.uber.org/zap v1.28.0
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
