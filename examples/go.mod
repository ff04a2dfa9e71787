module github.com/nexus-logbuf/logbuf/examples

go 1.26.0

replace github.com/nexus-logbuf/logbuf => ..

replace github.com/nexus-logbuf/logbuf/adapter/wsbuf => ../adapter/wsbuf

require (
	github.com/gobwas/ws v1.5.0
	github.com/gorilla/websocket v1.5.3
	github.com/nexus-logbuf/logbuf v0.0.0-00010101000000-000000000000
	github.com/nexus-logbuf/logbuf/adapter/wsbuf v0.0.0-00010101000000-000000000000
	github.com/rs/zerolog v1.35.1
	go.uber.org/zap v1.28.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
