// Package fixdict knows the names of FIX fields, messages and common values, of
// FIX 4.0 to 5.0 SP2: enough to read a log of orders, executions, quotes and
// market data. What it does not know is shown by its number.
package fixdict

import (
	"strconv"
	"strings"
)

// Tag is the name of a field, empty when it is not known.
func Tag(tag int) string { return tags[tag] }

// Type is the name of a message type, the type itself when it is not known.
func Type(msgType string) string {
	if name, ok := types[msgType]; ok {
		return name
	}
	return msgType
}

// Value is what a value of a field means, empty when that is not known.
func Value(tag int, value string) string { return values[tag][value] }

// tags is made from the lines of tagNames: a number and the names of that tag and
// those that follow it; "-" is one that has no name here.
var tags = parseTags(tagNames)

func parseTags(text string) map[int]string {
	m := map[int]string{}
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil {
			panic("fixdict: " + line)
		}
		for i, name := range f[1:] {
			if name != "-" {
				m[n+i] = name
			}
		}
	}
	return m
}

var types = pairs(typeNames)

// pairs reads KEY=NAME, separated by spaces.
func pairs(text string) map[string]string {
	m := map[string]string{}
	for _, p := range strings.Fields(text) {
		key, name, ok := strings.Cut(p, "=")
		if !ok {
			panic("fixdict: " + p)
		}
		m[key] = name
	}
	return m
}

var values = parseValues(valueNames)

// parseValues reads lines of a tag and its values.
func parseValues(text string) map[int]map[string]string {
	m := map[int]map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if tag == "" {
			continue
		}
		n, err := strconv.Atoi(tag)
		if err != nil {
			panic("fixdict: " + line)
		}
		m[n] = pairs(rest)
	}
	return m
}
