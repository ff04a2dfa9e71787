package fixbuf

import (
	"bytes"
	"errors"
	"fmt"
)

// Header is the fields of a message that sessions are run by. The slices are
// parts of the message; a field that is not there is nil, 0 or false.
type Header struct {
	BeginString []byte // 8
	MsgType     []byte // 35
	Sender      []byte // 49 SenderCompID
	SenderSub   []byte // 50
	Target      []byte // 56 TargetCompID
	TargetSub   []byte // 57
	SendingTime []byte // 52
	OrigSending []byte // 122

	SeqNum  uint64 // 34 MsgSeqNum
	PossDup bool   // 43

	// Of session messages only:
	NewSeqNo   uint64 // 36, of SequenceReset
	GapFill    bool   // 123, likewise
	BeginSeqNo uint64 // 7, of ResendRequest
	EndSeqNo   uint64 // 16, likewise; 0: all there are
	ResetSeq   bool   // 141 ResetSeqNumFlag, of Logon
	HeartBtInt uint64 // 108, of Logon
	TestReqID  []byte // 112, of TestRequest and Heartbeat
}

// Message types of the session layer.
const (
	TypeHeartbeat     = "0"
	TypeTestRequest   = "1"
	TypeResendRequest = "2"
	TypeReject        = "3"
	TypeSequenceReset = "4"
	TypeLogout        = "5"
	TypeLogon         = "A"
)

// Admin tells whether the message is of the session layer, other than a Reject:
// one that is not resent, but replaced by a gap fill.
func (h *Header) Admin() bool {
	if len(h.MsgType) != 1 {
		return false
	}
	switch h.MsgType[0] {
	case '0', '1', '2', '4', '5', 'A':
		return true
	}
	return false
}

// Is tells whether the message is of that type.
func (h *Header) Is(msgType string) bool { return string(h.MsgType) == msgType }

// Errors of Parse.
var (
	errField    = errors.New("fixbuf: a field is not TAG=VALUE")
	errNumber   = errors.New("fixbuf: a field that is a number holds something else")
	errIdentity = errors.New("fixbuf: no SenderCompID (49) or no TargetCompID (56)")
	errSeqNum   = errors.New("fixbuf: no MsgSeqNum (34)")
	errType     = errors.New("fixbuf: no MsgType (35)")
)

// Parse reads the header of a message that a Framer has found; of session
// messages the whole. It allocates nothing. What it has read before an error
// stays.
func (h *Header) Parse(msg []byte) error {
	*h = Header{}
	admin := false
	for rest := msg; len(rest) > 0; {
		tag, value, after, ok := field(rest)
		if !ok {
			return errField
		}
		if tag == 35 && h.MsgType == nil {
			h.MsgType = value
			admin = h.Admin()
		}
		if !admin && h.MsgType != nil && !inHeader(tag) {
			break
		}
		if err := h.set(tag, value); err != nil {
			return err
		}
		rest = after
		if n := dataLength(tag, value); n > 0 {
			rest = skipData(rest, dataTag(tag), n)
		}
	}
	switch {
	case h.MsgType == nil:
		return errType
	case len(h.Sender) == 0 || len(h.Target) == 0:
		return errIdentity
	case h.SeqNum == 0:
		return errSeqNum
	}
	return nil
}

// set keeps a field; the first of a tag counts.
func (h *Header) set(tag int, value []byte) error {
	var text *[]byte
	var number *uint64
	switch tag {
	case 8:
		text = &h.BeginString
	case 49:
		text = &h.Sender
	case 50:
		text = &h.SenderSub
	case 56:
		text = &h.Target
	case 57:
		text = &h.TargetSub
	case 52:
		text = &h.SendingTime
	case 122:
		text = &h.OrigSending
	case 112:
		text = &h.TestReqID
	case 34:
		number = &h.SeqNum
	case 36:
		number = &h.NewSeqNo
	case 7:
		number = &h.BeginSeqNo
	case 16:
		number = &h.EndSeqNo
	case 108:
		number = &h.HeartBtInt
	case 43:
		h.PossDup = yes(value)
	case 123:
		h.GapFill = yes(value)
	case 141:
		h.ResetSeq = yes(value)
	}
	if text != nil && *text == nil {
		*text = value
	}
	if number != nil && *number == 0 {
		n, ok := uintOf(value)
		if !ok {
			return errNumber
		}
		*number = n
	}
	return nil
}

func yes(b []byte) bool { return len(b) == 1 && b[0] == 'Y' }

// uintOf reads a number of at most 18 digits.
func uintOf(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}

// field takes the first field off b.
func field(b []byte) (tag int, value, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] != '='; i++ {
		if b[i] < '0' || b[i] > '9' || i == maxLengthLen {
			return 0, nil, nil, false
		}
		tag = 10*tag + int(b[i]-'0')
	}
	if i == 0 || i == len(b) {
		return 0, nil, nil, false
	}
	end := bytes.IndexByte(b[i+1:], soh)
	if end < 0 {
		return 0, nil, nil, false
	}
	return tag, b[i+1 : i+1+end : i+1+end], b[i+end+2:], true
}

// skipData takes the field data=… of n bytes off b, whatever bytes it holds. If
// it is not there b is returned as it is.
func skipData(b []byte, data, n int) []byte {
	if _, rest := takeData(b, data, n); rest != nil {
		return rest
	}
	return b
}

func takeData(b []byte, data, n int) (value, rest []byte) {
	tag, _, _, ok := field(b)
	i := bytes.IndexByte(b, '=') + 1
	if !ok || tag != data || n >= len(b)-i || b[i+n] != soh {
		return nil, nil
	}
	return b[i : i+n : i+n], b[i+n+1:]
}

// dataLength is the value of a field that gives the length of the one behind it,
// and 0 for all others.
func dataLength(tag int, value []byte) int {
	if dataTag(tag) == 0 {
		return 0
	}
	n, ok := uintOf(value)
	if !ok || n > 1<<30 {
		return 0
	}
	return int(n)
}

// dataTag is the field whose length is in the field tag; 0: it is no length.
func dataTag(tag int) int {
	switch tag {
	case 93: // SignatureLength
		return 89
	case 90, 95, 212, 348, 350, 352, 354, 356, 358, 360, 362, 364, 445, 618, 621, 1184, 1277, 1280, 1282, 1397, 1401, 1468, 1525:
		return tag + 1 // SecureDataLen, RawDataLength, XmlDataLen, Encoded…Len
	}
	return 0
}

// inHeader tells whether a field belongs to the standard header, of FIX 4.0 to
// FIXT 1.1.
func inHeader(tag int) bool {
	switch tag {
	case 8, 9, 35, 49, 56, 34, 43, 52, 122, 50, 57, 97, 115, 128, 129, 116, 142, 143, 144, 145,
		90, 91, 212, 213, 347, 369, 370, 627, 628, 629, 630, 1128, 1129, 1156:
		return true
	}
	return false
}

// Fields calls yield with each field of a message, tag and value, in order,
// until it returns false. Values of data fields hold what their length says, an
// SOH included. The error names the byte where something is no field.
func Fields(msg []byte, yield func(tag int, value []byte) bool) error {
	for rest := msg; len(rest) > 0; {
		tag, value, after, ok := field(rest)
		if !ok {
			return fmt.Errorf("fixbuf: byte %d of the message: not TAG=VALUE", len(msg)-len(rest))
		}
		if !yield(tag, value) {
			return nil
		}
		rest = after
		if n := dataLength(tag, value); n > 0 {
			if data, after := takeData(rest, dataTag(tag), n); after != nil {
				if !yield(dataTag(tag), data) {
					return nil
				}
				rest = after
			}
		}
	}
	return nil
}
