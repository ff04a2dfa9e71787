module github.com/nexus-logbuf/logbuf

go 1.26.0
