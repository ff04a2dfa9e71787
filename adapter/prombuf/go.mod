module github.com/nexus-logbuf/logbuf/adapter/prombuf

go 1.26.0

replace github.com/nexus-logbuf/logbuf => ../..
