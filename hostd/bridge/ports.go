package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

func (d *db) addPort(ctx context.Context, dev string, ofport uint32, owner string) error {
	c, br, err := d.connection(ctx)
	if err != nil {
		return err
	}
	want := int(ofport)
	iface := &interfaceRow{Name: dev}
	switch err := c.Get(ctx, iface); {
	case errors.Is(err, client.ErrNotFound):
		err = d.createPort(ctx, c, br, &interfaceRow{
			UUID: "iface", Name: dev, OfportRequest: &want, ExternalIDs: map[string]string{ownerKey: owner},
		})
		if err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := d.adoptPort(ctx, c, br, iface, want, owner); err != nil {
			return err
		}
	}
	return d.awaitOfport(ctx, dev, want)
}

// awaitOfport waits until the switch has given dev the number want.
func (d *db) awaitOfport(ctx context.Context, dev string, want int) error {
	have := 0
	err := d.until(ctx, func(c client.Client) (bool, error) {
		row := &interfaceRow{Name: dev}
		if err := c.Get(ctx, row); err != nil {
			return false, ignoreNotFound(err)
		}
		switch {
		case row.Ofport == nil:
			return false, nil
		case *row.Ofport < 0 && row.Error != nil:
			return false, errors.New(*row.Error)
		}
		have = *row.Ofport
		return have == want, nil
	})
	if errors.Is(err, context.DeadlineExceeded) && have != 0 {
		return fmt.Errorf("the switch gave it number %d instead of %d", have, want)
	}
	return err
}

// createPort inserts interface, port and the bridge's reference in one transaction.
func (d *db) createPort(ctx context.Context, c client.Client, br *bridgeRow, iface *interfaceRow) error {
	ops, err := c.Create(iface)
	if err != nil {
		return err
	}
	port, err := c.Create(&portRow{UUID: "port", Name: iface.Name, Interfaces: []string{iface.UUID}})
	if err != nil {
		return err
	}
	ref, err := c.Where(br).Mutate(br, model.Mutation{Field: &br.Ports, Mutator: ovsdb.MutateOperationInsert, Value: []string{"port"}})
	if err != nil {
		return err
	}
	return d.transact(ctx, c, slices.Concat(ops, port, ref))
}

// adoptPort brings an interface that exists in line. One on another bridge is
// an error.
func (d *db) adoptPort(ctx context.Context, c client.Client, br *bridgeRow, iface *interfaceRow, ofport int, owner string) error {
	port := &portRow{Name: iface.Name}
	if err := c.Get(ctx, port); err != nil {
		return err
	}
	if !slices.Contains(br.Ports, port.UUID) {
		return errors.New("it is a port of another bridge")
	}
	if iface.OfportRequest != nil && *iface.OfportRequest == ofport && iface.ExternalIDs[ownerKey] == owner {
		return nil
	}
	iface.OfportRequest, iface.ExternalIDs = &ofport, map[string]string{ownerKey: owner}
	ops, err := c.Where(iface).Update(iface, &iface.OfportRequest, &iface.ExternalIDs)
	if err != nil {
		return err
	}
	return d.transact(ctx, c, ops)
}

func (d *db) delPort(ctx context.Context, dev string) error {
	c, br, err := d.connection(ctx)
	if errors.Is(err, errNoBridge) {
		return nil
	}
	if err != nil {
		return err
	}
	port := &portRow{Name: dev}
	if err := c.Get(ctx, port); err != nil {
		return ignoreNotFound(err)
	}
	if !slices.Contains(br.Ports, port.UUID) {
		return nil
	}
	ops, err := c.Where(br).Mutate(br, model.Mutation{Field: &br.Ports, Mutator: ovsdb.MutateOperationDelete, Value: []string{port.UUID}})
	if err != nil {
		return err
	}
	if err := d.transact(ctx, c, ops); err != nil {
		return err
	}
	return d.until(ctx, func(c client.Client) (bool, error) {
		err := c.Get(ctx, &portRow{Name: dev})
		return errors.Is(err, client.ErrNotFound), ignoreNotFound(err)
	})
}

// hasPort looks at the copy of the database.
func (d *db) hasPort(dev string) (has, known bool) {
	c, _ := d.get()
	if c == nil {
		return false, false
	}
	ctx := context.Background()
	br, port := &bridgeRow{Name: d.bridge}, &portRow{Name: dev}
	for _, err := range []error{c.Get(ctx, br), c.Get(ctx, port)} {
		if err != nil {
			return false, errors.Is(err, client.ErrNotFound)
		}
	}
	return slices.Contains(br.Ports, port.UUID), true
}

func (d *db) ports(ctx context.Context) (map[string]string, error) {
	c, br, err := d.connection(ctx)
	if err != nil {
		return nil, err
	}
	ports := map[string]string{}
	for _, id := range br.Ports {
		port := &portRow{UUID: id}
		if err := c.Get(ctx, port); err != nil {
			return nil, err
		}
		iface := &interfaceRow{Name: port.Name}
		if err := ignoreNotFound(c.Get(ctx, iface)); err != nil {
			return nil, err
		}
		if port.Name != d.bridge {
			ports[port.Name] = iface.ExternalIDs[ownerKey]
		}
	}
	return ports, nil
}

func (d *db) transact(ctx context.Context, c client.Client, ops []ovsdb.Operation) error {
	results, err := c.Transact(ctx, ops...)
	if err != nil {
		return err
	}
	_, err = ovsdb.CheckOperationResults(results, ops)
	return err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, client.ErrNotFound) {
		return nil
	}
	return err
}
