// Package recorder records.
package recorder
