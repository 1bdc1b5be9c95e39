package announce

import "fmt"

// Service is the name of a service type, such as "upload_storage": a lower-case letter, then at most
// 63 of lower-case letters, digits, "_" and "-". A constant or the result of [ParseService] is well
// formed; a conversion from string promises nothing.
type Service string

// The services that the introducer's own documentation speaks of. Others are as good.
const (
	UploadStorage   Service = "upload_storage"   // accepts new shares
	DownloadStorage Service = "download_storage" // lets shares be read
	Storage         Service = "storage"          // Tahoe-LAFS's name for both
	Helper          Service = "helper"           // Tahoe-LAFS's upload helper
	Introducer      Service = "introducer"       // another introducer
)

// MaxService is the length of the longest service name, in bytes.
const MaxService = 64

// ParseService returns s as a service, or an error that wraps [ErrInvalid] when s is no service name.
func ParseService(s string) (Service, error) {
	if !isService(s) {
		return "", fmt.Errorf("%w service name %s: must be a lower-case letter, then at most %d of lower-case letters, digits, _ and -",
			ErrInvalid, clip(s), MaxService-1)
	}
	switch Service(s) {
	case UploadStorage:
		// Whoever keeps a hundred thousand announcements keeps one string of each usual name.
		return UploadStorage, nil
	case DownloadStorage:
		return DownloadStorage, nil
	case Storage:
		return Storage, nil
	case Helper:
		return Helper, nil
	case Introducer:
		return Introducer, nil
	}
	return Service(s), nil
}

func isService(s string) bool {
	if len(s) == 0 || len(s) > MaxService || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// clip quotes a stranger's text for an error message, which must not grow with what was sent.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
}
