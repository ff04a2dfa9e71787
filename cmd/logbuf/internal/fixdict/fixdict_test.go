package fixdict

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

func TestNames(t *testing.T) {
	for tag, want := range map[int]string{1: "Account", 8: "BeginString", 35: "MsgType", 58: "Text", 447: "PartyIDSource", 1137: "DefaultApplVerID", 99999: ""} {
		if got := Tag(tag); got != want {
			t.Errorf("tag %d is %q, want %q", tag, got, want)
		}
	}
	if Type("D") != "NewOrderSingle" || Type("U1") != "U1" || Value(54, "1") != "Buy" || Value(54, "?") != "" || Value(11, "1") != "" {
		t.Error(Type("D"), Type("U1"), Value(54, "1"))
	}
	if len(tags) < 700 || len(types) < 100 || len(values) < 30 {
		t.Errorf("%d tags, %d types, %d fields with values", len(tags), len(types), len(values))
	}
	for tag := range values {
		if Tag(tag) == "" {
			t.Errorf("field %d has names for values and none itself", tag)
		}
	}
}

// The names are those of an engine that others have written, where its headers are.
func TestNamesAgainstQuickFIX(t *testing.T) {
	b, err := os.ReadFile("/usr/include/quickfix/FixFieldNumbers.h")
	if err != nil {
		if os.Getenv("LOGBUF_REQUIRE_QUICKFIX") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	theirs := map[int]map[string]bool{}
	for _, m := range regexp.MustCompile(`const int (\w+) = (\d+);`).FindAllSubmatch(b, -1) {
		n, _ := strconv.Atoi(string(m[2]))
		if theirs[n] == nil {
			theirs[n] = map[string]bool{}
		}
		theirs[n][string(m[1])] = true
	}
	if len(theirs) < 1000 {
		t.Fatalf("%d fields in the header", len(theirs))
	}
	for tag, name := range tags {
		if !theirs[tag][name] {
			t.Errorf("%d is %s, QuickFIX has %v", tag, name, theirs[tag])
		}
	}
}
