package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// leaveWait bounds what one controller is waited for: who leaves is not kept
// waiting by one that is away.
const leaveWait = 3 * time.Second

// Leave tells the controllers in turn, until one has understood, that the host is
// gone: it is then no host of the cluster any more, and this identity good for
// nothing.
func (i *Identity) Leave(ctx context.Context) error {
	var failed []error
	for _, controller := range i.Controllers() {
		err := i.leaveAt(ctx, controller)
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", controller, err))
	}
	return errors.Join(failed...)
}

func (i *Identity) leaveAt(ctx context.Context, controller string) error {
	ctx, cancel := context.WithTimeout(ctx, leaveWait)
	defer cancel()
	_, err := call(ctx, controller, i.TLS(), nil, func(c hostpb.EnrolmentClient) (*hostpb.LeaveAnswer, error) {
		return c.Leave(ctx, &hostpb.LeaveRequest{})
	})
	return err
}
