module github.com/nexus-logbuf/logbuf/examples

go 1.26.0

replace github.com/nexus-logbuf/logbuf => ..

replace github.com/nexus-logbuf/logbuf/adapter/wsbuf => ../adapter/wsbuf
