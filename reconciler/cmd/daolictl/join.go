package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (a *app) joinTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "join-token",
		Short: "Let hosts join: create, list and delete the tokens by which they do",
		Example: `  daolictl join-token create
  daolictl join-token create --hosts 'web-*' --tenants acme --ttl 24h --uses 20
  daolictl join-token list
  daolictl join-token delete mzxw6ytb`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return fmt.Errorf("say what to do: create, list or delete") },
	}
	cmd.AddCommand(a.createTokenCommand(), a.listTokensCommand(), a.deleteTokenCommand())
	return cmd
}

func (a *app) createTokenCommand() *cobra.Command {
	var q api.JoinTokenRequest
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a token, and print the command by which a host joins",
		Long: `Make a token, and print the command by which a host joins.

Whoever has the token can become a host until it is used up or expires: hand it
over as you would a password. It is shown once; the controller keeps a hash of it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl <= 0 {
				return fmt.Errorf("--ttl %s is not positive", ttl)
			}
			if q.Uses < 1 {
				return fmt.Errorf("--uses %d is not positive", q.Uses)
			}
			q.TTLSeconds = ttl.Seconds()
			return show(a, func() (api.JoinToken, error) { return a.client().CreateJoinToken(cmd.Context(), q) }, a.printJoin)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&q.Hosts, "hosts", nil, "patterns of host names that may join by it, such as 'web-*' (default: any)")
	f.StringSliceVar(&q.Tenants, "tenants", nil, "tenants whose endpoints these hosts may have at most (default: all whose hosts: lets them)")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long it is good")
	f.IntVar(&q.Uses, "uses", 1, "how many hosts may join by it")
	return cmd
}

func (a *app) printJoin(t api.JoinToken) {
	controller := "CONTROLLER:7443"
	if len(t.Controllers) > 0 {
		controller = t.Controllers[0]
	}
	fmt.Fprintf(a.out, "Run this on the host as root, within %s:\n\n", span(t.Expires.Sub(a.now())))
	fmt.Fprintf(a.out, "  daoli-hostd join %s --token %s --ca-hash %s\n", controller, t.Token, t.CAHash)
}

func (a *app) listTokensCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "The join tokens, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, func() (api.JoinTokenList, error) {
				tokens, err := a.client().JoinTokens(cmd.Context())
				return api.JoinTokenList{JoinTokens: tokens}, err
			}, a.printTokens)
		},
	}
}

func (a *app) printTokens(list api.JoinTokenList) {
	all := func(names []string) string {
		if len(names) == 0 {
			return "any"
		}
		return strings.Join(names, ",")
	}
	var rows [][]cell
	for _, t := range list.JoinTokens {
		row := cells(t.ID, "", strconv.Itoa(t.Uses), all(t.Hosts), all(t.Tenants), span(a.now().Sub(t.Created)))
		row[1] = cell{span(t.Expires.Sub(a.now())), green}
		if !a.now().Before(t.Expires) {
			row[1] = cell{"expired", red}
		}
		rows = append(rows, row)
	}
	a.table([]string{"ID", "EXPIRES", "USES LEFT", "HOSTS", "TENANTS", "AGE"}, rows)
}

func (a *app) deleteTokenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a join token: nobody joins by it any more",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().DeleteJoinToken(cmd.Context(), args[0]); err != nil {
				return failure{err}
			}
			return nil
		},
	}
}

func (a *app) hostCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "End the trust in a host",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return fmt.Errorf("say what to do: revoke") },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "revoke NAME",
		Short: "Never trust the host's key again, and cut it off now",
		Long: `Never trust the host's key again, and cut it off now: its connections are closed,
its endpoints are gone for everybody else, and their sessions end. The name is
free for a host that joins with a token and a new key.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeHost,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().RevokeHost(cmd.Context(), args[0]); err != nil {
				return failure{err}
			}
			return nil
		},
	})
	return cmd
}

func (a *app) completeHost(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	hosts, err := a.client().Hosts(cmd.Context())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
