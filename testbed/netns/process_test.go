package netns

import "testing"

// TestAProcessHasEndedWhenItsLastThreadHas: the first may be dead before, which is
// how a program of several threads becomes another.
func TestAProcessHasEndedWhenItsLastThreadHas(t *testing.T) {
	const before, after = " 1 2 2 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 ", " 0 4711 1000 20 18446744073709551615 1 1"
	for _, tt := range []struct {
		name, text string
		ended      bool
	}{
		{"runs", "7 (sleep) S" + before + "1" + after, false},
		{"ended, and nobody has waited for it", "7 (sleep) Z" + before + "1" + after, true},
		{"being forgotten", "7 (sleep) X" + before + "0" + after, true},
		{"becomes another program", "7 (daoli-hostd) Z" + before + "2" + after, false},
		{"has a name like a state", "7 (a) Z 1) S" + before + "1" + after, false},
	} {
		start, ended, err := parseStat(tt.text)
		if start != "4711" || ended != tt.ended || err != nil {
			t.Errorf("%s: started at %s, ended %v, %v; want 4711 and %v", tt.name, start, ended, err, tt.ended)
		}
	}
	if _, _, err := parseStat("7 (sleep) S 1"); err == nil {
		t.Error("half a line is understood")
	}
}
