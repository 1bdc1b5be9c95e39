package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/introducer/introducer/announce"
	"github.com/introducer/introducer/cmd/introducer/internal/input"
	"github.com/introducer/introducer/node"
	"github.com/introducer/introducer/web/visible"
)

const nodeCheckHelp = `Says what a node with this configuration would announce and subscribe to, or what is wrong with the
file, with exit code 2. It looks at the key file and the state directory too, and connects to nobody.
Endpoints are shortened to their host, since a FURL is a secret: -o json shows them whole.`

func (a *app) nodeCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check FILE",
		Short:   "Say what a configuration means, or what is wrong with it",
		Long:    nodeCheckHelp,
		Example: "  introducer node check node.toml",
		Args:    cobra.ExactArgs(1),
		RunE:    a.nodeCheck,
	}
	addOutputFlag(cmd)
	return cmd
}

// plan is what a node would do, for programs.
type plan struct {
	Nickname    string             `json:"nickname,omitempty"`
	PeerID      string             `json:"peer_id,omitempty"`
	State       string             `json:"state"`
	Introducers []string           `json:"introducers"`
	Offers      []offer            `json:"offers,omitempty"`
	Wants       []announce.Service `json:"wants,omitempty"`
	Listen      string             `json:"listen,omitempty"`
}

// offer is one announcement of a plan.
type offer struct {
	Service         announce.Service `json:"service"`
	Endpoints       []string         `json:"endpoints"`
	PermutationSeed []byte           `json:"permutation_seed"`
	TTLSeconds      float64          `json:"ttl_seconds,omitempty"` // 0: it does not expire
}

func (a *app) nodeCheck(cmd *cobra.Command, args []string) error {
	out, err := a.newPrinter(cmd)
	if err != nil {
		return err
	}
	p, err := newPlan(args[0])
	if err != nil {
		return usage(err)
	}
	if out.json {
		return out.object(p)
	}
	return p.show(out)
}

func newPlan(path string) (*plan, error) {
	c, err := node.Load(path)
	if err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	p := &plan{Nickname: c.Nickname, State: c.State, Introducers: c.Introducers, Wants: c.Wants, Listen: c.Listen}
	var id announce.PeerID
	if c.Key != "" {
		key, err := announce.LoadKeyFile(c.Key)
		if err != nil {
			return nil, err
		}
		id = key.PeerID()
		p.PeerID = id.String()
	}
	for _, a := range c.Announcements() {
		p.Offers = append(p.Offers, offer{a.Service, a.AllEndpoints(), a.Seed(id), a.TTL.Seconds()})
	}
	return p, nil
}

// show writes the plan for people.
func (p *plan) show(out *printer) error {
	rows := [][]string{{"state", visible.Text(p.State)}}
	if p.PeerID != "" {
		rows = append(rows, []string{"peer id", p.PeerID})
	}
	for _, url := range p.Introducers {
		rows = append(rows, []string{"introducer", visible.Text(url)})
	}
	for _, o := range p.Offers {
		life := "until withdrawn"
		if o.TTLSeconds > 0 {
			life = "for " + visible.Duration(time.Duration(o.TTLSeconds)*time.Second)
		}
		rows = append(rows, []string{"announces", string(o.Service) + " at " + list(places(o.Endpoints, 3)) + ", " + life},
			[]string{"", "seed " + input.EncodeBase32(o.PermutationSeed)})
	}
	if len(p.Offers) == 0 {
		rows = append(rows, []string{"announces", "nothing, and withdraws what it announced before"})
	}
	for _, s := range p.Wants {
		rows = append(rows, []string{"subscribes to", string(s)})
	}
	if len(p.Wants) == 0 {
		rows = append(rows, []string{"subscribes to", "nothing"})
	}
	if p.Listen != "" {
		rows = append(rows, []string{"lookups at", p.Listen})
	}
	title := "node"
	if p.Nickname != "" {
		title = strconv.Quote(visible.Clip(p.Nickname, 64))
	}
	return out.table([]string{title}, rows)
}
