package trust

import (
	"errors"
	"fmt"
)

// Reason says in one word why somebody is not trusted: for logs and tests.
type Reason string

// Reasons.
const (
	ReasonTokenUnknown Reason = "token-unknown" // no such token, or a wrong secret
	ReasonTokenExpired Reason = "token-expired"
	ReasonTokenUsed    Reason = "token-used"   // as often as it may be
	ReasonTokenHost    Reason = "token-host"   // it is for hosts of other names
	ReasonRate         Reason = "rate"         // too many attempts
	ReasonRequest      Reason = "request"      // it cannot be read
	ReasonNameTaken    Reason = "name-taken"   // by a host with another key
	ReasonKeyTaken     Reason = "key-taken"    // by a host of another name
	ReasonCertificate  Reason = "certificate"  // none, of another CA, or for another use
	ReasonExpired      Reason = "expired"      // the certificate ended
	ReasonRevoked      Reason = "revoked"      // the host was
	ReasonUnknownHost  Reason = "unknown-host" // its certificate is ours, but it is not in the registry
	ReasonReplaced     Reason = "replaced"     // the host has another key now
	ReasonOtherHost    Reason = "other-host"   // it says that it is another than its certificate's
	ReasonDPIDTaken    Reason = "dpid-taken"   // another host's switch has it
	ReasonDPIDUnbound  Reason = "dpid-unbound" // the host has not said that it has it
)

// Refusal is why somebody is not trusted. Text says it to a person, with the way
// out where there is one.
type Refusal struct {
	Reason Reason
	Text   string
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

// ReasonOf returns the reason of the Refusal in err, or "".
func ReasonOf(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}
