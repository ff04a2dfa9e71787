package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// The writing side of the tool is on its way; these keep the names.

func newFeedCmd() *cobra.Command   { return notYet("feed") }
func newRecordCmd() *cobra.Command { return notYet("record") }
func newDemoCmd() *cobra.Command   { return notYet("demo") }

func notYet(name string) *cobra.Command {
	return &cobra.Command{
		Use:    name,
		Hidden: true,
		RunE:   func(*cobra.Command, []string) error { return errors.New(name + " is not in this build") },
	}
}
