package nodes

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/virtual-kubelet/virtual-kubelet/log"
)

// LibraryLog brings warnings and errors of virtual-kubelet into our log; what it says below that stays at debug.
func LibraryLog(to *slog.Logger) log.Logger { return libraryLog{to.With("library", "virtual-kubelet")} }

type libraryLog struct{ to *slog.Logger }

func (l libraryLog) Debug(args ...any)            { l.to.Debug(fmt.Sprint(args...)) }
func (l libraryLog) Debugf(f string, args ...any) { l.to.Debug(fmt.Sprintf(f, args...)) }
func (l libraryLog) Info(args ...any)             { l.to.Debug(fmt.Sprint(args...)) }
func (l libraryLog) Infof(f string, args ...any)  { l.to.Debug(fmt.Sprintf(f, args...)) }
func (l libraryLog) Warn(args ...any)             { l.to.Warn(fmt.Sprint(args...)) }
func (l libraryLog) Warnf(f string, args ...any)  { l.to.Warn(fmt.Sprintf(f, args...)) }
func (l libraryLog) Error(args ...any)            { l.to.Error(fmt.Sprint(args...)) }
func (l libraryLog) Errorf(f string, args ...any) { l.to.Error(fmt.Sprintf(f, args...)) }
func (l libraryLog) Fatal(args ...any)            { l.Error(args...); os.Exit(1) }
func (l libraryLog) Fatalf(f string, args ...any) { l.Errorf(f, args...); os.Exit(1) }

func (l libraryLog) WithField(key string, value any) log.Logger {
	return libraryLog{l.to.With(key, value)}
}

func (l libraryLog) WithFields(fields log.Fields) log.Logger {
	to := l.to
	for key, value := range fields {
		to = to.With(key, value)
	}
	return libraryLog{to}
}

func (l libraryLog) WithError(err error) log.Logger { return libraryLog{l.to.With("error", err)} }
