package recorder

import (
	"iter"
	"slices"
)

// laneSet is the lanes that the archiver reads, each kind in the order in which
// they were made. A set does not change: there is a new one for each lane that
// comes or goes.
type laneSet struct {
	urgent, ordinary []*lane
}

// with is the set with l besides.
func (s *laneSet) with(l *lane) *laneSet {
	n := *s
	if l.urgent {
		n.urgent = append(slices.Clone(s.urgent), l)
	} else {
		n.ordinary = append(slices.Clone(s.ordinary), l)
	}
	return &n
}

// without is the set without l.
func (s *laneSet) without(l *lane) *laneSet {
	n := *s
	is := func(o *lane) bool { return o == l }
	if l.urgent {
		n.urgent = slices.DeleteFunc(slices.Clone(s.urgent), is)
	} else {
		n.ordinary = slices.DeleteFunc(slices.Clone(s.ordinary), is)
	}
	return &n
}

// all is every lane, urgent ones first.
func (s *laneSet) all() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		for _, lanes := range [...][]*lane{s.urgent, s.ordinary} {
			for _, l := range lanes {
				if !yield(l) {
					return
				}
			}
		}
	}
}

// retired is a lane that will give its memory back, nil if there is none.
func (s *laneSet) retired() *lane {
	for l := range s.all() {
		if l.retired.Load() {
			return l
		}
	}
	return nil
}
