module github.com/nexus-logbuf/logbuf/cmd/logbuf

go 1.26.0
