package enrol

import (
	"crypto/tls"
	"net"
)

// ListenSwitchesOpen is ListenSwitches without its guard: nobody is asked for a
// certificate.
func (a *Authority) ListenSwitchesOpen(ln net.Listener) net.Listener {
	return a.listen(ln, &tls.Config{ClientAuth: tls.NoClientCert})
}
