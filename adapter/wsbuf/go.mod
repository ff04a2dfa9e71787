module github.com/nexus-logbuf/logbuf/adapter/wsbuf

go 1.26.0
