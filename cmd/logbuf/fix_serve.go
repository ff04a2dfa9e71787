package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/cli"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/fixserve"
	"github.com/nexus-logbuf/logbuf/cmd/logbuf/internal/serve"
	"github.com/spf13/cobra"
)

const fixResendLong = `Send messages of one side again, as repetitions: PossDupFlag (43) is Y, OrigSendingTime
(122) says when they were first sent, SendingTime (52) is now, BodyLength and CheckSum
are right. SequenceReset-GapFill stands for session messages and for what the archive
does not have. It is what an engine sends when it is asked with a ResendRequest.

The messages go to stdout, or to a TCP connection that expects them: there is no
Logon. An engine wants one: that is logbuf fix serve.`

const fixServeLong = `Be one side of a recorded session, so that the other side's engine can log on and ask
for the messages that it has missed.

Whoever connects and logs on is answered as the side that it names as its target, from
the archive: with a Logon that has the number which comes next. An engine that expects
a lower one sends a ResendRequest by itself; it gets the application messages again,
with PossDupFlag, and gap fills for the rest. Heartbeats, TestRequests and Logouts are
answered. Orders and the like are not: nobody takes them here, and a line says that
they came.

Where the numbers began anew (a new day), the messages since then are served. The
numbers that this server uses for its own Logon and Heartbeats are above those in the
archive: before the engine talks to the real counterparty again, the two must agree on
the next number, as after any such recovery (ResetSeqNumFlag, or set by hand).

The archive is read once, at the start: it should not be recorded into meanwhile.
Anybody who can connect gets the messages: listen on an address that only those reach
who should.`

func newFixResendCmd() *cobra.Command {
	var o fixOptions
	var from, to uint64
	var sender, out string
	var where target
	cmd := &cobra.Command{
		Use:   "resend DIR",
		Short: "Send a range of messages again, as repetitions",
		Long:  fixResendLong,
		Example: `  logbuf fix resend fix --sender SELLER --from 100 --to 120 | tr '\001' '|'
  logbuf fix resend fix --sender SELLER --from 100 --out tcp://127.0.0.1:9000`,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == 0 {
				to = math.MaxUint64
			}
			switch {
			case from == 0 || from > to:
				return cli.Usagef("--from %d, --to %d: no range of numbers", from, to)
			case sender == "":
				return cli.Usagef("needs --sender COMPID: whose messages are sent again")
			case out != "-" && (where.Set(out) != nil || where.kind != toTCP):
				return cli.Usagef("--out %s: must be - or tcp://HOST:PORT", out)
			}
			return fixResend(cmd, args[0], &o, sender, from, to, &where)
		},
	}
	o.addFlags(cmd, true)
	f := cmd.Flags()
	f.StringVar(&sender, "sender", "", "the side with this `CompID`")
	f.Uint64Var(&from, "from", 1, "`number` (MsgSeqNum) of the first message")
	f.Uint64Var(&to, "to", 0, "`number` (MsgSeqNum) of the last message; 0 = to the end")
	f.StringVar(&out, "out", "-", "`where` to: - or tcp://HOST:PORT")
	return cmd
}

func fixResend(cmd *cobra.Command, dir string, o *fixOptions, sender string, from, to uint64, where *target) error {
	ctx, stop := readContext(cmd)
	defer stop()
	a, err := o.open(ctx, cmd, dir)
	if err != nil {
		return interruptIsFine(err)
	}
	session, err := a.choose(o.session)
	if err != nil {
		return err
	}
	side, err := a.side(session, sender)
	if err != nil {
		return err
	}
	source := fixserve.NewSource(dir, a.Index, session, side)
	if to = min(to, source.Next()-1); from > to {
		return fmt.Errorf("%s has sent nothing from %d on: there are %s", sender, from, a.ranges(session))
	}
	out, end, err := resendTo(ctx, cmd, where)
	if err != nil {
		return err
	}
	identity := a.Session(session).Identity
	id := fixserve.Peers{BeginString: identity.BeginString, Me: identity.CompID(side), Peer: identity.CompID(1 - side)}
	r, err := source.Resend(ctx, id, from, to, time.Now, func(m []byte) error {
		_, err := out.Write(m)
		return err
	})
	err = errors.Join(err, end())
	if ctx.Err() != nil {
		return interruptIsFine(context.Cause(ctx))
	}
	a.say("sent %s again, gap fills for %s, of which the archive lacks %d%s", cli.Plural(r.Messages, "message"), cli.Plural(r.Filled, "number"), r.Missing, r.Trouble())
	return a.result(err)
}

// resendTo opens what messages go to; end closes it.
func resendTo(ctx context.Context, cmd *cobra.Command, where *target) (w io.Writer, end func() error, err error) {
	if where.kind == toStdout {
		out := cli.NewOutput(cmd.OutOrStdout())
		return out, out.Flush, nil
	}
	d := net.Dialer{Timeout: connectTimeout}
	nc, err := d.DialContext(ctx, "tcp", where.addr)
	if err != nil {
		return nil, nil, fmt.Errorf("--out %s: %w", where.String(), err)
	}
	conn := serve.NewTCP(ctx, nc, replayPatience)
	return conn, conn.Close, nil
}

// replayPatience is how long a connection may take no byte.
const replayPatience = 30 * time.Second

func newFixServeCmd() *cobra.Command {
	var o fixOptions
	var listen string
	var clients int
	cmd := &cobra.Command{
		Use:   "serve DIR --listen HOST:PORT",
		Short: "Answer an engine's ResendRequests from the archive",
		Long:  fixServeLong,
		Example: `  # SELLER is down, BUYER has lost its store: be SELLER for BUYER's engine
  logbuf fix serve fix --listen 127.0.0.1:9000 --session FIX.4.4:BUYER-SELLER`,
		Args:              oneDir,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if listen == "" {
				return cli.Usagef("needs --listen HOST:PORT: where engines connect to")
			}
			if _, _, err := net.SplitHostPort(listen); err != nil {
				return cli.Usagef("--listen %q: must be HOST:PORT, such as 127.0.0.1:9000", listen)
			}
			if clients < 0 {
				return cli.Usagef("--clients %d is negative", clients)
			}
			return fixServe(cmd, args[0], &o, listen, clients)
		},
	}
	o.addFlags(cmd, false)
	f := cmd.Flags()
	f.StringVar(&o.session, "session", "", "only the session of this `name`; default all")
	f.StringVar(&listen, "listen", "", "`HOST:PORT` where engines connect to")
	f.IntVar(&clients, "clients", 0, "end after this `number` of connections; 0 = with Ctrl-C")
	complete(cmd, "session", completeStream)
	return cmd
}

func fixServe(cmd *cobra.Command, dir string, o *fixOptions, listen string, clients int) error {
	ctx, stop := readContext(cmd)
	defer stop()
	a, err := o.open(ctx, cmd, dir)
	if err != nil {
		return interruptIsFine(err)
	}
	if o.session != "" || len(a.Names()) == 0 {
		if _, err := a.choose(o.session); err != nil {
			return err
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", listen, err)
	}
	status := cli.NewStatus(cmd.ErrOrStderr())
	status.Println("serving %s of %s on %s; Ctrl-C ends it", cli.Plural(len(a.Names()), "session"), dir, ln.Addr())
	server := serve.Server{Clients: clients}
	return server.Serve(ctx, ln, func(ctx context.Context, nc net.Conn) {
		if !server.Admit() {
			return
		}
		s := fixserve.Session{Say: status.Println, Find: func(id fixserve.Peers) (*fixserve.Source, error) { return a.source(o.session, id) }}
		if err := s.Serve(ctx, nc); err != nil {
			status.Println("%s: %v", nc.RemoteAddr(), err)
		}
	})
}

// source finds what to serve an engine that has logged on.
func (a *fixArchive) source(only string, id fixserve.Peers) (*fixserve.Source, error) {
	for i, name := range a.Names() {
		identity := a.Sessions[i].Identity
		for side := range 2 {
			if identity.BeginString != id.BeginString || identity.CompID(side) != id.Me || identity.CompID(1-side) != id.Peer {
				continue
			}
			if only != "" && name != only {
				return nil, fmt.Errorf("session %s is not served", name)
			}
			return fixserve.NewSource(a.dir, a.Index, name, side), nil
		}
	}
	return nil, fmt.Errorf("the archive has no %q session between %q and %q", id.BeginString, id.Peer, id.Me)
}
