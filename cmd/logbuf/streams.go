package main

import (
	"fmt"
	"slices"
)

// streamNames are the names of an archive's streams as far as it was read. A stream without a definition is called "#7"
// by its number; records of no stream are of "-".
type streamNames struct {
	known definitions
	cache map[uint16]string
}

// definitions is the part of a journal.Reader that knows streams.
type definitions interface {
	StreamName(id uint16) string
	Streams() map[uint16]string
}

func newStreamNames(known definitions) *streamNames {
	return &streamNames{known: known, cache: make(map[uint16]string)}
}

// of gives the name of a stream.
func (n *streamNames) of(id uint16) string {
	if name, ok := n.cache[id]; ok {
		return name
	}
	if id == 0 {
		return "-"
	}
	name := n.known.StreamName(id)
	if name == "" {
		return fmt.Sprintf("#%d", id) // not kept: its definition may still come
	}
	n.cache[id] = name
	return name
}

// all gives the defined names in order.
func (n *streamNames) all() []string {
	var names []string
	for _, name := range n.known.Streams() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
