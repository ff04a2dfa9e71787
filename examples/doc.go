// Package examples holds one program for each of the patterns in docs/patterns.
package examples
