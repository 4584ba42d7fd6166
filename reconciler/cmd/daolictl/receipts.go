package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (a *app) receiptsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "receipts [ID]",
		Aliases: []string{"receipt"},
		Short:   "What was cut lately: which sessions, why, and which hosts confirmed",
		Long: `What was cut lately: which sessions, why, and which hosts confirmed.

A receipt stands for one event that forbade live sessions: a new revision, a host's
report of other labels, a rule's time that came, a session or a host that somebody
ended. A host has confirmed when its switch said that no flow of theirs is left. The
receipt of a switch that is away stays open until it is back and has confirmed. Times
count from when the event was noticed. The last 100 are kept, and end with the
controller.`,
		Example: `  daolictl receipts                        # the last ones, the newest first
  daolictl receipts 12                     # all that is known of one
  daolictl receipts -o json | jq '.receipts[] | select(.done | not)'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return show(a, func() (api.Receipt, error) { return a.client().Receipt(cmd.Context(), args[0]) }, a.printReceipt)
			}
			return show(a, func() (api.ReceiptList, error) { return a.client().Receipts(cmd.Context()) }, a.printReceipts)
		},
	}
}

// killCommand is added to "session", which lists.
func (a *app) killCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kill ID",
		Short: "End a live session, whatever the policy says of it",
		Long: `End a live session, whatever the policy says of it. A TCP connection in it is reset at
both ends with its next packet; what opens another one is judged as always.`,
		Example: `  daolictl session kill 0x301000100000007`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := api.ParseSessionID(args[0]); err != nil {
				return err
			}
			return show(a, func() (api.Receipt, error) { return a.client().KillSession(cmd.Context(), args[0]) }, func(r api.Receipt) {
				fmt.Fprintf(a.out, "killed %s; daolictl receipts %d shows which hosts have confirmed\n", plural(r.Count, "session"), r.ID)
			})
		},
	}
}

func (a *app) printReceipts(list api.ReceiptList) {
	var rows [][]cell
	for _, r := range list.Receipts {
		confirmed := 0
		for _, h := range r.Hosts {
			if h.State == "confirmed" {
				confirmed++
			}
		}
		state := cell{"open", yellow}
		if r.Done {
			state = cell{"done", green}
		}
		row := cells(strconv.FormatUint(r.ID, 10), span(a.now().Sub(r.Seen)), r.Cause, short(r.Revision), dash(authorOf(r)),
			strconv.Itoa(r.Count), fmt.Sprintf("%d/%d", confirmed, len(r.Hosts)), took(r.TookSeconds))
		rows = append(rows, append(row, state))
	}
	a.table([]string{"ID", "AGE", "CAUSE", "REVISION", "AUTHOR", "SESSIONS", "CONFIRMED", "TOOK", "STATE"}, rows)
}

func authorOf(r api.Receipt) string {
	if r.Commit == nil || r.Cause != "revision" {
		return ""
	}
	return r.Commit.Author
}

// took writes how long a confirmation took, to a millisecond.
func took(s float64) string { return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms" }

func (a *app) printReceipt(r api.Receipt) {
	a.fact("receipt", "%d, %s ago", r.ID, span(a.now().Sub(r.Seen)))
	cause := r.Cause
	if r.Host != "" {
		cause += " of " + r.Host
	}
	a.fact("cause", "%s", cause)
	a.fact("revision", "%s", short(r.Revision))
	if r.Commit != nil {
		a.fact("commit", "%s, %s: %s", r.Commit.Author, r.Commit.When.UTC().Format("2006-01-02 15:04 UTC"), r.Commit.Subject)
	}
	a.fact("cut", "%s, %s after it was seen", plural(r.Count, "session"), took(r.Cut.Sub(r.Seen).Seconds()))
	if r.Done {
		a.fact("confirmed", "by %s, the last after %s", plural(len(r.Hosts), "host"), took(r.TookSeconds))
	} else {
		a.fact("confirmed", "%s", a.paint(yellow, "not by all hosts"))
	}
	fmt.Fprintln(a.out)
	var rows [][]cell
	for _, h := range r.Hosts {
		rows = append(rows, append(cells(h.Name, strconv.Itoa(h.Sessions)), a.hostState(h)))
	}
	a.table([]string{"HOST", "SESSIONS", "STATE"}, rows)
	fmt.Fprintln(a.out)
	rows = nil
	for _, s := range r.Sessions {
		why := []string{s.Why, "", ""}
		if s.Decision != nil {
			why = []string{s.Decision.Reason, s.Decision.Rule, s.Decision.At}
		}
		rows = append(rows, cells(s.ID, s.From.Name, s.To.Name, port(s.Proto, s.Port), why[0], dash(why[1]), dash(why[2])))
	}
	a.table([]string{"SESSION", "FROM", "TO", "PORT", "WHY", "RULE", "AT"}, rows)
	if more := r.Count - len(r.Sessions); more > 0 {
		fmt.Fprintln(a.out, a.paint(yellow, fmt.Sprintf("and %d more", more)))
	}
}

// hostState says how far a host is with a receipt.
func (a *app) hostState(h api.ReceiptHost) cell {
	since := span(a.now().Sub(h.Since))
	switch h.State {
	case "confirmed":
		if h.TookSeconds != nil {
			return cell{"confirmed after " + took(*h.TookSeconds), green}
		}
		return cell{h.State, green}
	case "away":
		return cell{"not confirmed: away for " + since, yellow}
	case "sent":
		return cell{"not confirmed: told " + since + " ago", yellow}
	case "revoked":
		return cell{"revoked: nobody takes its packets", plain}
	case "replaced":
		return cell{"replaced: the host has another switch", plain}
	}
	return cell{strings.TrimSpace("not confirmed: " + h.State + " " + h.Err), red}
}
