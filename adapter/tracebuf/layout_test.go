package tracebuf

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

type (
	dense struct {
		ID    uint64
		Price int64 `trace:"price,unit=ticks"`
		Size  uint32
		Code  uint16
		Buy   bool
		Side  uint8
	}
	gaps struct {
		Buy   bool
		ID    uint64
		Small int16
		Big   float64
		Tail  uint8
	}
	blank struct {
		A uint32
		_ [4]byte
		B uint64
		_ uint16
	}
	inner  struct{ X, Y float32 }
	nested struct {
		Took   time.Duration
		Symbol [8]byte `trace:"symbol,text"`
		At     inner
		Legs   [2]inner
		Grid   [2][3]int16
		Flags  [3]bool
	}
	hidden struct{ a, b int32 }
)

func TestLayout(t *testing.T) {
	tests := []struct {
		name   string
		typ    reflect.Type
		size   int
		dense  bool // on a little-endian machine
		fields string
	}{
		{"no fields", reflect.TypeFor[struct{}](), 0, true, ""},
		{"dense", reflect.TypeFor[dense](), 24, true, "ID uint64@0 price/ticks int64@8 Size uint32@16 Code uint16@20 Buy bool@22 Side uint8@23"},
		{"gaps", reflect.TypeFor[gaps](), 20, false, "Buy bool@0 ID uint64@1 Small int16@9 Big float64@11 Tail uint8@19"},
		{"blank", reflect.TypeFor[blank](), 18, false, "A uint32@0 B uint64@8"},
		{"nested", reflect.TypeFor[nested](), 55, false,
			"Took/ns int64@0 symbol text@8[8] At.X float32@16 At.Y float32@20 Legs[0].X float32@24 Legs[0].Y float32@28" +
				" Legs[1].X float32@32 Legs[1].Y float32@36 Grid int16@40[6] Flags bool@52[3]"},
		{"unexported", reflect.TypeFor[hidden](), 8, true, "a int32@0 b int32@4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := layoutOf(tt.typ)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(l.fields); got != tt.fields {
				t.Errorf("fields\n%s, want\n%s", got, tt.fields)
			}
			if l.size != tt.size || l.size != binary.Size(reflect.Zero(tt.typ).Interface()) {
				t.Errorf("size %d, want %d, as encoding/binary has", l.size, tt.size)
			}
			if l.dense != (tt.dense && littleEndian) {
				t.Errorf("dense %v, want %v", l.dense, tt.dense)
			}
		})
	}
}

func describe(fields []Field) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(f.Name)
		if f.Unit != "" {
			b.WriteString("/" + f.Unit)
		}
		b.WriteString(" " + f.Type.String() + "@" + itoa(f.Offset))
		if f.Len > 0 {
			b.WriteString("[" + itoa(f.Len) + "]")
		}
	}
	return b.String()
}

func itoa(n int) string {
	return string((Field{Type: Int64}).Append(nil, binary.LittleEndian.AppendUint64(nil, uint64(n))))
}

func TestLayoutErrors(t *testing.T) {
	tests := []struct {
		name string
		v    any
		want string
	}{
		{"no struct", 1, "int is no struct"},
		{"int", struct{ N int }{}, "field N: int has different sizes on different machines: use int64"},
		{"uintptr", struct{ N uintptr }{}, "use uint64"},
		{"string", struct{ S string }{}, "field S: string has no fixed size"},
		{"pointer in a nested struct", struct{ A struct{ P *int } }{}, "field A.P: *int"},
		{"slice in an array", struct{ A [2]struct{ S []byte } }{}, "field A[0].S: []uint8"},
		{"complex", struct{ C complex64 }{}, "field C: complex64"},
		{"blank pointer", struct {
			A int64
			_ *int
		}{}, "field _: *int"},
		{"no elements", struct{ A [0]int32 }{}, "an array of no bytes"},
		{"very many nothings", struct{ A [1 << 30]struct{} }{}, "an array of no bytes"},
		{"large", struct{ A [4097]byte }{}, "4097 bytes, more than 4096"},
		{"many fields", struct{ A [513]inner8 }{}, "more than 512 fields"},
		{"bad tag", struct {
			A int32 `trace:"a,units=ms"`
		}{}, `tag "a,units=ms"`},
		{"text of numbers", struct {
			A [4]int32 `trace:",text"`
		}{}, "text is for arrays of uint8"},
		{"two of one name", struct {
			A int32
			B int32 `trace:"A"`
		}{}, `two fields named "A"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := layoutOf(reflect.TypeOf(tt.v))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

type inner8 struct{ A uint8 }

// The wire is what encoding/binary writes, whatever path a type takes.
func TestWireIsEncodingBinary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	t.Run("dense", func(t *testing.T) { checkWire[dense](t, rng) })
	t.Run("gaps", func(t *testing.T) { checkWire[gaps](t, rng) })
	t.Run("blank", func(t *testing.T) { checkWire[blank](t, rng) })
	t.Run("nested", func(t *testing.T) { checkWire[nested](t, rng) })
	t.Run("unexported", func(t *testing.T) { checkWireOf(t, hidden{a: 1, b: -2}) })
	t.Run("no fields", func(t *testing.T) { checkWire[struct{}](t, rng) })
}

func checkWire[T any](t *testing.T, rng *rand.Rand) {
	t.Helper()
	for range 50 {
		checkWireOf(t, randomValue[T](rng))
	}
}

func checkWireOf[T any](t *testing.T, v T) {
	t.Helper()
	l, err := layoutOf(reflect.TypeFor[T]())
	must(t, err)
	want, err := binary.Append(nil, binary.LittleEndian, &v)
	must(t, err)
	var f frame[T]
	if got := f.fill(l, &v)[spanLen:]; !bytes.Equal(got, want) {
		t.Fatalf("%+v\n%x, encoding/binary has\n%x", v, got, want)
	}
}

// On a big-endian machine each word is turned round. What such a machine has in
// memory is what encoding/binary writes in big-endian order.
func TestMovesOfBigEndianMachine(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	b := layoutBuilder{}
	must(t, b.structure(reflect.TypeFor[bigEndian](), "", 0))
	for range 50 {
		v := randomValue[bigEndian](rng)
		memory, err := binary.Append(nil, binary.BigEndian, &v)
		must(t, err)
		want, err := binary.Append(nil, binary.LittleEndian, &v)
		must(t, err)
		got := make([]byte, b.l.size)
		b.l.move(got, memory) // the type has no gaps: offsets in memory are those on the wire
		if !bytes.Equal(got, want) {
			t.Fatalf("%+v\n%x, want\n%x", v, got, want)
		}
	}
}

type bigEndian struct {
	A uint64
	B [3]int64
	C float64
	D [2]float32
	E uint32
	F int16
	G [5]byte
	H bool
}

// randomValue sets the fields of a value, and lets nothing be zero.
func randomValue[T any](rng *rand.Rand) T {
	var v T
	fillRandom(reflect.ValueOf(&v).Elem(), rng)
	return v
}

func fillRandom(v reflect.Value, rng *rand.Rand) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillRandom(v.Field(i), rng)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fillRandom(v.Index(i), rng)
		}
	case reflect.Bool:
		v.SetBool(rng.Uint32()&1 == 1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(float32(rng.NormFloat64())))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.Uint64()) >> (64 - 8*v.Type().Size()))
	default:
		v.SetUint(rng.Uint64() >> (64 - 8*v.Type().Size()))
	}
}
