package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/nexus-logbuf/logbuf/journal"
	"github.com/spf13/cobra"
)

// versionInfo is what `version --json` prints.
type versionInfo struct {
	Version  string `json:"version"`            // of the module, "(devel)" for a build from a checkout
	Revision string `json:"revision,omitempty"` // of the version control system, when the build knows it
	Time     string `json:"time,omitempty"`     // of the revision
	Modified bool   `json:"modified,omitempty"` // the checkout had changes
	Format   int    `json:"format"`             // archive format version that this build writes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of the tool and of the archive format",
		Long: `Print the version of the tool, the revision it was built from, the version of the
archive format that it writes, and the version of Go.`,
		Example: `  logbuf version
  logbuf version --json | jq -r .format`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := readVersion()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), info)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func readVersion() versionInfo {
	v := versionInfo{
		Version: "(unknown)", Format: journal.FormatVersion,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = build.Main.Version
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// String is what `version` prints for people.
func (v versionInfo) String() string {
	s := fmt.Sprintf("logbuf %s\narchive format %d\n%s %s\n", v.Version, v.Format, v.Go, v.Platform)
	if v.Revision == "" {
		return s
	}
	dirty := ""
	if v.Modified {
		dirty = ", with local changes"
	}
	return s + fmt.Sprintf("revision %s of %s%s\n", v.Revision, v.Time, dirty)
}
