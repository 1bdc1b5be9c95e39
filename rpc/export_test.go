package rpc

import "time"

// What tests look at from outside.
var (
	PublicError = publicError
	Codes       = codes
	Guard       = guard
)

// InFlight is a budget of max bytes.
func InFlight(max int64) (take func(int64) error, release func(int64)) {
	b := &budget{max: max}
	return b.take, b.release
}

// SetBackupStall is how long a Backup waits for who reads nothing.
func SetBackupStall(s *Service, d time.Duration) { s.backups.stall = d }
