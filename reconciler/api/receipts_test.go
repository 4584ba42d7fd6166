package api_test

import (
	"context"
	"errors"
	"testing"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (f *fake) Receipts(context.Context) ([]api.Receipt, error) {
	return []api.Receipt{{ID: 12, Cause: "kill"}, {ID: 2, Cause: "revision"}}, f.err
}

func (f *fake) KillSession(_ context.Context, id uint64) (api.Receipt, error) {
	f.killed = id
	return api.Receipt{ID: 3, Cause: "kill", Count: 1}, f.err
}

func TestReceiptsAreListedAndFoundByID(t *testing.T) {
	c := api.NewClient(serve(t, &fake{}))
	list, err := c.Receipts(t.Context())
	if err != nil || len(list.Receipts) != 2 || list.Receipts[0].ID != 12 {
		t.Errorf("receipts %+v, %v; want 12 and 2", list, err)
	}
	one, err := c.Receipt(t.Context(), "2")
	if err != nil || one.ID != 2 || one.Hosts == nil || one.Sessions == nil {
		t.Errorf("receipt %+v, %v; want 2, with lists", one, err)
	}
	for _, id := range []string{"1", "02", "x/../12"} {
		var refused *api.Error
		if _, err := c.Receipt(t.Context(), id); !errors.As(err, &refused) || refused.Code != api.CodeNotFound {
			t.Errorf("receipt %q: %v; want that there is none", id, err)
		}
	}
}

func TestASessionIsKilledByItsID(t *testing.T) {
	f := &fake{}
	c := api.NewClient(serve(t, f))
	r, err := c.KillSession(t.Context(), "0x301000100000007")
	if err != nil || r.ID != 3 || f.killed != 0x301000100000007 {
		t.Errorf("killed %#x: %+v, %v", f.killed, r, err)
	}
	f.killed = 0
	var refused *api.Error
	if _, err := c.KillSession(t.Context(), "web1"); !errors.As(err, &refused) || refused.Code != api.CodeInvalid || f.killed != 0 {
		t.Errorf("killing web1: %v, %#x; want that it is no ID", err, f.killed)
	}
}
