package fixbuf

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, fields, want, err string }{
		{"order", "35=D|49=A|50=desk|56=B|57=x|34=7|43=Y|52=20261121-09:30:00|122=20261121-09:29:00|11=o1|36=9",
			"D A/desk>B/x 7 dup=true 20261121-09:30:00 20261121-09:29:00 new=0", ""},
		{"fields of the header in another order", "49=A|56=B|34=7|35=8|11=o1", "8 A/>B/ 7 dup=false   new=0", ""},
		{"resend request", "35=2|49=A|56=B|34=7|7=3|16=0", "2 A/>B/ 7 dup=false   new=0 3..0", ""},
		{"gap fill", "35=4|49=A|56=B|34=7|123=Y|36=20", "4 A/>B/ 7 dup=false   new=20 fill", ""},
		{"logon", "35=A|49=A|56=B|34=1|98=0|108=30|141=Y", "A A/>B/ 1 dup=false   new=0 reset hb=30", ""},
		{"test request", "35=1|49=A|56=B|34=1|112=ping", "1 A/>B/ 1 dup=false   new=0 ping", ""},
		{"data with fields in it", "35=A|49=A|56=B|95=6|96=|141=Y|34=1|34=2", "A A/>B/ 1 dup=false   new=0", ""},
		{"data of a wrong length", "35=A|49=A|56=B|95=500|96=x|34=2", "A A/>B/ 2 dup=false   new=0", ""},
		{"two of a field: the first counts", "35=D|49=A|49=C|56=B|34=1|34=5", "D A/>B/ 1 dup=false   new=0", ""},
		{"no type", "49=A|56=B|34=1", "", "MsgType"},
		{"no sender", "35=D|56=B|34=1", "", "49"},
		{"no target", "35=D|49=B|34=1", "", "56"},
		{"no number", "35=D|49=A|56=B", "", "MsgSeqNum"},
		{"a number that is none", "35=D|49=A|56=B|34=x", "", "number"},
		{"a number that is too long", "35=D|49=A|56=B|34=1234567890123456789", "", "number"},
		{"a negative number", "35=D|49=A|56=B|34=-1", "", "number"},
		{"no tag", "35=D|=A|56=B|34=-1", "", "TAG=VALUE"},
		{"no value", "35=D|49|56=B|34=-1", "", "TAG=VALUE"},
		{"a tag that is too long", "35=D|4900000000=A|56=B|34=-1", "", "TAG=VALUE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var h Header
			err := h.Parse(message(tc.fields))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			got := fmt.Sprintf("%s %s/%s>%s/%s %d dup=%v %s %s new=%d", h.MsgType, h.Sender, h.SenderSub, h.Target, h.TargetSub, h.SeqNum, h.PossDup, h.SendingTime, h.OrigSending, h.NewSeqNo)
			if h.Is(TypeResendRequest) {
				got += fmt.Sprintf(" %d..%d", h.BeginSeqNo, h.EndSeqNo)
			}
			for word, on := range map[string]bool{" fill": h.GapFill, " reset": h.ResetSeq} {
				if on {
					got += word
				}
			}
			if h.HeartBtInt > 0 {
				got += fmt.Sprintf(" hb=%d", h.HeartBtInt)
			}
			if h.TestReqID != nil {
				got += " " + string(h.TestReqID)
			}
			if err != nil || got != tc.want {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestFields(t *testing.T) {
	var got []string
	err := Fields(message("35=A|95=5|96=a|b=c|354=2|355=|||58=x"), func(tag int, value []byte) bool {
		got = append(got, fmt.Sprintf("%d=%s", tag, strings.ReplaceAll(string(value), "\x01", "|")))
		return tag != 58
	})
	if want := "8=FIX.4.4 9=37 35=A 95=5 96=a|b=c 354=2 355=|| 58=x"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%q, %v\nwant %q", strings.Join(got, " "), err, want)
	}
	if err := Fields([]byte("8=FIX\x01oops\x01"), func(int, []byte) bool { return true }); err == nil || !strings.Contains(err.Error(), "byte 6") {
		t.Errorf("error %v, want one about byte 6", err)
	}
}

func TestIdentity(t *testing.T) {
	for _, tc := range []struct{ from, to, want string }{
		{"BUYER", "SELLER", "FIX.4.4:BUYER-SELLER"},
		{"SELLER", "BUYER", "FIX.4.4:BUYER-SELLER"},
		{"A-B", "C", "FIX.4.4:A%2DB-C"},
		{"A", "B-C", "FIX.4.4:A-B-C"},
		{"A%", "\xff\n é", "FIX.4.4:A%25-%FF%0A%20%C3%A9"},
		{"A", "A", "FIX.4.4:A-A"},
	} {
		var h Header
		if err := h.Parse(order(tc.from, tc.to, 1)); err != nil {
			t.Fatal(err)
		}
		if got := h.Identity().String(); got != tc.want {
			t.Errorf("%q to %q is %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
	id := Identity{BeginString: "FIX:\x1b[2J", Low: "A", High: "B"}
	if got := id.String(); got != "FIX%3A%1B[2J:A-B" {
		t.Errorf("%+v is %q", id, got)
	}
}

func TestSequence(t *testing.T) {
	for _, tc := range []struct{ name, messages, want string }{
		{"in order", "D 1, D 2, D 3", "1:next 2 2:next 3 3:next 4 | 0 gaps, 0 missing, 0 resets, 0 low, 0 dup"},
		{"begins in the middle", "D 7, D 8", "7:next 8 8:next 9 | 0 gaps, 0 missing, 0 resets, 0 low, 0 dup"},
		{"gap", "D 1, D 5, D 6", "1:next 2 5:next 6 gap 2-4 6:next 7 | 1 gaps, 3 missing, 0 resets, 0 low, 0 dup"},
		{"gap, then resent", "D 1, D 4, D 2 dup, D 3 dup, D 5", "1:next 2 4:next 5 gap 2-3 2:next 5 repeat 3:next 5 repeat 5:next 6 | 1 gaps, 2 missing, 0 resets, 0 low, 2 dup"},
		{"resent, never seen before", "D 1, D 3 dup", "1:next 2 3:next 4 gap 2-2 | 1 gaps, 1 missing, 0 resets, 0 low, 1 dup"},
		{"too low", "D 4, D 3, D 5", "4:next 5 3:next 5 repeat 5:next 6 | 0 gaps, 0 missing, 0 resets, 1 low, 0 dup"},
		{"too low twice", "D 4, D 2, D 2, D 5", "4:next 5 2:next 5 repeat 2:next 5 repeat 5:next 6 | 0 gaps, 0 missing, 0 resets, 2 low, 0 dup"},
		{"too low, and not in a row", "D 4, D 2, D 5, D 3", "4:next 5 2:next 5 repeat 5:next 6 3:next 6 repeat | 0 gaps, 0 missing, 0 resets, 2 low, 0 dup"},
		{"anew without a logon", "D 6, D 2, D 3, D 5", "6:next 7 2:next 7 repeat 3:next 4 reset 5:next 6 gap 4-4 | 1 gaps, 1 missing, 1 resets, 1 low, 0 dup"},
		{"logon goes on", "A 1, D 2, A 3", "1:next 2 2:next 3 3:next 4 | 0 gaps, 0 missing, 0 resets, 0 low, 0 dup"},
		{"logon begins anew", "A 1, D 2, A 1, D 2", "1:next 2 2:next 3 1:next 2 reset 2:next 3 | 0 gaps, 0 missing, 1 resets, 0 low, 0 dup"},
		{"logon with reset", "A 1, D 2, A 1 141, D 2", "1:next 2 2:next 3 1:next 2 reset 2:next 3 | 0 gaps, 0 missing, 1 resets, 0 low, 0 dup"},
		{"logon with reset at the number expected", "A 1 141, D 2", "1:next 2 2:next 3 | 0 gaps, 0 missing, 0 resets, 0 low, 0 dup"},
		{"logon behind a gap", "D 1, A 3", "1:next 2 3:next 4 gap 2-2 | 1 gaps, 1 missing, 0 resets, 0 low, 0 dup"},
		{"sequence reset", "D 1, D 2, 4 9 new 50, D 50", "1:next 2 2:next 3 9:next 50 reset 50:next 51 | 0 gaps, 0 missing, 1 resets, 0 low, 0 dup"},
		{"sequence reset down", "D 1, D 2, 4 3 new 1, D 1", "1:next 2 2:next 3 3:next 1 reset 1:next 2 | 0 gaps, 0 missing, 1 resets, 0 low, 0 dup"},
		{"sequence reset to nothing", "D 1, 4 2, D 2", "1:next 2 2:next 2 repeat 2:next 3 | 0 gaps, 0 missing, 0 resets, 0 low, 0 dup"},
		{"gap fill", "D 1, 4 2 fill 9, D 9", "1:next 2 2:next 9 9:next 10 | 0 gaps, 0 missing, 0 resets, 0 low, 0 dup"},
		{"gap fill resent", "D 1, D 5, 4 2 dup fill 5, D 6", "1:next 2 5:next 6 gap 2-4 2:next 6 repeat 6:next 7 | 1 gaps, 3 missing, 0 resets, 0 low, 1 dup"},
		{"gap fill resent that reaches further", "D 1, 4 1 dup fill 5, D 5", "1:next 2 1:next 5 repeat 5:next 6 | 0 gaps, 0 missing, 0 resets, 0 low, 1 dup"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s Sequence
			var got strings.Builder
			for _, m := range strings.Split(tc.messages, ", ") {
				f := strings.Fields(m)
				fields := fmt.Sprintf("35=%s|49=A|56=B|34=%s", f[0], f[1])
				for i := 2; i < len(f); i++ {
					switch f[i] {
					case "dup":
						fields += "|43=Y"
					case "141":
						fields += "|141=Y"
					case "fill":
						fields += "|123=Y|36=" + f[i+1]
						i++
					case "new":
						fields += "|36=" + f[i+1]
						i++
					}
				}
				var h Header
				if err := h.Parse(message(fields)); err != nil {
					t.Fatal(err)
				}
				step := s.See(&h)
				fmt.Fprintf(&got, "%d:next %d ", h.SeqNum, s.Next)
				if step.Gap.To > 0 {
					fmt.Fprintf(&got, "gap %d-%d ", step.Gap.From, step.Gap.To)
				}
				if step.Reset {
					got.WriteString("reset ")
				}
				if step.Repeat {
					got.WriteString("repeat ")
				}
			}
			fmt.Fprintf(&got, "| %d gaps, %d missing, %d resets, %d low, %d dup", s.Gaps, s.Missing, s.Resets, s.TooLow, s.PossDups)
			if got.String() != tc.want {
				t.Errorf("%s\nwant %s", got.String(), tc.want)
			}
		})
	}
}
