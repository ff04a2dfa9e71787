package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexus-logbuf/logbuf/journal"
	"go.yaml.in/yaml/v3"
)

// The files that docs/monitoring offers, and what they refer to.
const (
	monitoring = "../../../../docs/monitoring"
	operations = "../../../../docs/OPERATIONS.md"
)

// rules is what a file of Prometheus rules holds.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// ruleTests is what a file for `promtool test rules` holds.
type ruleTests struct {
	Tests []struct {
		InputSeries []struct{ Series string } `yaml:"input_series"`
		AlertTests  []struct {
			Alertname string
			ExpAlerts []any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

// dashboard is what a Grafana dashboard holds, as far as it matters here.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		RefID      string
		Expr       string
		Datasource struct{ Type, UID string }
	}
}

func load[T any](t *testing.T, name string, decode func([]byte, any) error) *T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(monitoring, name))
	if err != nil {
		t.Fatal(err)
	}
	v := new(T)
	if err := decode(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// exposed are the metrics of a recording, each with its labels; a histogram's
// are its three series.
func exposed(t *testing.T) map[string][]string {
	t.Helper()
	s := well()
	s.Stats.Journal.DiskAt = time.Now()
	_, srv := serve(t, normal, s)
	families, err := srv.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string][]string{"up": {"job", "instance"}}
	for _, f := range families {
		labels := []string{"job", "instance"} // of the target
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			metrics[f.GetName()] = labels
			continue
		}
		metrics[f.GetName()+"_sum"], metrics[f.GetName()+"_count"] = labels, labels
		metrics[f.GetName()+"_bucket"] = append(slices.Clone(labels), "le")
	}
	return metrics
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	selector = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	numeral  = regexp.MustCompile(`\b\d[\w.]*`)
	operator = regexp.MustCompile(`^(?:and|or|unless|bool|offset|group_left|group_right|inf|nan)$`)
)

// misfits are the metrics and labels in an expression that a recording does not
// have.
func misfits(expr string, metrics map[string][]string) (bad []string) {
	expr = quoted.ReplaceAllString(expr, `""`)
	any := make(map[string]bool)
	for _, labels := range metrics {
		for _, l := range labels {
			any[l] = true
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); l != "" && !any[l] {
				bad = append(bad, "label "+l)
			}
		}
	}
	expr = numeral.ReplaceAllString(grouping.ReplaceAllString(expr, ""), "0")
	for _, at := range selector.FindAllStringSubmatchIndex(expr, -1) {
		name := expr[at[2]:at[3]]
		if at[4] < 0 && (operator.MatchString(name) || strings.HasPrefix(strings.TrimSpace(expr[at[1]:]), "(")) {
			continue // a function, or an aggregation
		}
		labels, ok := metrics[name]
		if !ok {
			if at[4] >= 0 || !aggregation.MatchString(name) {
				bad = append(bad, name)
			}
			continue
		}
		if at[4] < 0 {
			continue
		}
		for _, m := range matcher.FindAllStringSubmatch(expr[at[4]:at[5]], -1) {
			if !slices.Contains(labels, m[1]) {
				bad = append(bad, name+"{"+m[1]+"}")
			}
		}
	}
	return bad
}

// aggregation is an operator whose grouping stands in front of its argument.
var aggregation = regexp.MustCompile(`^(?:sum|min|max|avg|count|topk|bottomk|quantile)$`)

func TestMisfits(t *testing.T) {
	metrics := map[string][]string{"a_total": {"job", "stream"}, "h_bucket": {"job", "le"}}
	for expr, want := range map[string]string{
		`rate(a_total{stream=~"x|y", job="z"}[5m]) > 5e3`:                                "",
		`histogram_quantile(0.99, sum by (le) (rate(h_bucket[5m])))`:                     "",
		`sum(a_total) by (job) / on (job) group_left max(h_bucket) or a_total offset 5m`: "",
		`rate(b_total[5m])`:                     "b_total",
		`a_total{reason="x"}`:                   "a_total{reason}",
		`sum by (reason) (a_total)`:             "label reason",
		`a_total > a_count`:                     "a_count",
		`max(b{stream="a_total"}) - rate{x=""}`: "b, rate",
	} {
		if got := strings.Join(misfits(expr, metrics), ", "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// Each alert refers only to what there is, is told to fire by a test, and says
// where in the handbook it is explained.
func TestAlerts(t *testing.T) {
	metrics := exposed(t)
	r := load[rules](t, "logbuf-alerts.yaml", func(b []byte, v any) error { return yaml.Unmarshal(b, v) })
	tests := load[ruleTests](t, "logbuf-alerts_test.yaml", func(b []byte, v any) error { return yaml.Unmarshal(b, v) })
	handbook, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	fires := make(map[string]bool)
	for _, one := range tests.Tests {
		for _, a := range one.AlertTests {
			fires[a.Alertname] = fires[a.Alertname] || len(a.ExpAlerts) > 0
		}
		for _, s := range one.InputSeries {
			if bad := misfits(s.Series, metrics); bad != nil {
				t.Errorf("logbuf-alerts_test.yaml: %s: a recording has no %s", s.Series, bad)
			}
		}
	}
	n := 0
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			n++
			if bad := misfits(rule.Expr, metrics); bad != nil {
				t.Errorf("%s: %s: a recording has no %s", rule.Alert, rule.Expr, bad)
			}
			if !fires[rule.Alert] {
				t.Errorf("%s: no test makes it fire", rule.Alert)
			}
			if s := rule.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", rule.Alert, s)
			}
			if want := "docs/OPERATIONS.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook"] != want || rule.Annotations["summary"] == "" {
				t.Errorf("%s: runbook %q, want %q; summary %q", rule.Alert, rule.Annotations["runbook"], want, rule.Annotations["summary"])
			}
			if !strings.Contains(string(handbook), "\n### "+rule.Alert+"\n") {
				t.Errorf("%s has no section in docs/OPERATIONS.md", rule.Alert)
			}
		}
	}
	if n == 0 {
		t.Error("no rules")
	}
}

// variables stand in for Grafana's in its expressions.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$job", "logbuf", "$instance", ".*", "$stream", ".*")

// The dashboard is what Grafana imports, its panels do not overlap, and they
// refer only to what there is.
func TestDashboard(t *testing.T) {
	metrics := exposed(t)
	d := load[dashboard](t, "logbuf-dashboard.json", json.Unmarshal)
	if d.Title == "" || d.UID == "" {
		t.Errorf("title %q, uid %q", d.Title, d.UID)
	}
	for _, v := range d.Templating.List {
		m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition)
		switch {
		case v.Type == "datasource":
		case m == nil:
			t.Errorf("variable %s: %q", v.Name, v.Definition)
		default:
			if bad := misfits(fmt.Sprintf("max by (%s) (%s)", m[2], variables.Replace(m[1])), metrics); bad != nil {
				t.Errorf("variable %s: a recording has no %s", v.Name, bad)
			}
		}
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: there are two panels %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X < 0 || g.X+g.W > 24 || g.W <= 0 || g.H <= 0 {
			t.Errorf("%s: %+v is outside of the 24 columns", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s and %s overlap", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, q := range p.Targets {
			if bad := misfits(variables.Replace(q.Expr), metrics); bad != nil || q.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %s: a recording has no %s; data source %q", p.Title, q.Expr, bad, q.Datasource.UID)
			}
		}
	}
}

// promtool returns Prometheus's own checker of rules.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err == nil:
		return path
	case os.Getenv("LOGBUF_REQUIRE_PROMTOOL") != "":
		t.Fatal(err)
	}
	t.Skip("needs promtool, of Debian's package prometheus")
	return ""
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
}

// What Prometheus says: the rules are rules, and each alert fires when it
// should, with the text that it should have, and not otherwise.
func TestPromtool(t *testing.T) {
	tool := promtool(t)
	run(t, tool, "check", "rules", filepath.Join(monitoring, "logbuf-alerts.yaml"))
	run(t, tool, "test", "rules", filepath.Join(monitoring, "logbuf-alerts_test.yaml"))
}

// What is scraped is what Prometheus reads, with names as it wants them, and
// whatever a stream is called.
func TestPromtoolReads(t *testing.T) {
	tool := promtool(t)
	s := well()
	s.Stats.Streams[0].Name, s.Sources[0].Name = "a \"name\"\nof \\ two lines {} é", "a \"name\"\nof \\ two lines {} é"
	lose(s, 0, journal.LossOverload, 3)
	s.Stats.Journal.DiskAt = time.Now()
	url, _ := serve(t, normal, s)
	_, text, _ := get(t, url+"/metrics")
	cmd := exec.Command(tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s\nof\n%s", err, out, text)
	}
}

// Each expression of the dashboard is PromQL: as a recording rule, Prometheus
// takes it.
func TestDashboardPromQL(t *testing.T) {
	tool := promtool(t)
	d := load[dashboard](t, "logbuf-dashboard.json", json.Unmarshal)
	type rule struct{ Record, Expr string }
	var all []rule
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			all = append(all, rule{fmt.Sprintf("panel_%d_%s", p.ID, q.RefID), variables.Replace(q.Expr)})
		}
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, tool, "check", "rules", file)
}
