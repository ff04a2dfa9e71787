module github.com/nexus-logbuf/logbuf/bench

go 1.26.0
