package rpc

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect/v2"

	"github.com/introducer/introducer/registry"
)

// codes maps what the floors below say to Connect codes. The first match counts. The error's whole
// text goes to the caller, so only errors whose text is made for callers belong here.
var codes = [...]struct {
	Err  error
	Code connect.Code
}{
	{errOverBudget, connect.CodeResourceExhausted},
	{errBackups, connect.CodeResourceExhausted},
	{errStalled, connect.CodeAborted},
	{errDraining, connect.CodeUnavailable},
	{registry.ErrOverloaded, connect.CodeResourceExhausted},
	{registry.ErrClosed, connect.CodeUnavailable},
	{registry.ErrFailed, connect.CodeUnavailable},
	{registry.ErrQuarantined, connect.CodeDataLoss},
	{registry.ErrDamaged, connect.CodeDataLoss},
	{registry.ErrNoRevision, connect.CodeOutOfRange},
	{context.Canceled, connect.CodeCanceled},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
}

// errDraining ends what would otherwise go on without end.
var errDraining = errors.New("the introducer is stopping; come back soon")

// internal is all that a caller hears of a fault of ours.
const internal = "the introducer failed; its log says more"

// publicError is err as a caller may see it: a *connect.Error that keeps err as its cause, which
// never leaves the process. Nil stays nil.
func publicError(err error) error {
	if err == nil {
		return nil
	}
	for _, row := range codes {
		if errors.Is(err, row.Err) {
			return connect.NewError(row.Code, plainText(err, row.Err)).WithCause(err)
		}
	}
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return err // our own refusal of a request, or the transport's
	}
	return connect.NewError(connect.CodeInternal, internal).WithCause(err)
}

// plainText is what the caller reads. What went wrong while the transport read a request comes in
// words of its own, which say nothing to a caller.
func plainText(err, sentinel error) string {
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return sentinel.Error()
	}
	return err.Error()
}

// invalid refuses a request for one of its fields. field is its path in the request, as in
// "storage_indexes[3]".
func invalid(field, format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, field+": "+fmt.Sprintf(format, args...))
}
