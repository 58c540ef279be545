package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
)

const (
	// writePatience is how long a client may take none of what is sent to it.
	writePatience = 30 * time.Second
	// streamBuffer is how much is gathered before it is sent.
	streamBuffer = 64 << 10
)

// patientWriter writes to a client for as long as the client takes something
// now and then: without that, who stalls would hold what is behind the writer.
type patientWriter struct {
	to      io.Writer
	control *http.ResponseController
	wrote   bool
}

func newPatientWriter(ctx huma.Context) *patientWriter {
	w := humagin.Unwrap(ctx).Writer
	return &patientWriter{to: w, control: http.NewResponseController(w)}
}

func (w *patientWriter) Write(b []byte) (int, error) {
	// Not every connection has deadlines: then it has none.
	if err := w.control.SetWriteDeadline(time.Now().Add(writePatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	w.wrote = true
	return w.to.Write(b)
}

// end gives the connection back to the server without a deadline.
func (w *patientWriter) end() { _ = w.control.SetWriteDeadline(time.Time{}) }

// breakOff ends the connection so that the client sees that the answer is not
// whole: its status is sent already.
func (w *patientWriter) breakOff() { _ = w.control.SetWriteDeadline(time.Unix(1, 0)) }

// attachment answers with a file that is written as it is made. What fails
// before the first byte is answered as a problem; what fails later breaks the
// answer off, so that no client takes a part for the whole.
func (a *API) attachment(contentType, name string, write func(ctx context.Context, w io.Writer) error) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", contentType)
		ctx.SetHeader("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
		client := newPatientWriter(ctx)
		buffered := bufio.NewWriterSize(client, streamBuffer)
		err := write(ctx.Context(), buffered)
		if err == nil {
			err = buffered.Flush()
		}
		switch {
		case err == nil:
			client.end()
		case !client.wrote:
			ctx.SetHeader("Content-Disposition", "")
			a.refuse(ctx, err)
		default:
			a.opts.Logger.Warn("admin answer broken off", "path", ctx.Operation().Path, "request_id", callOf(ctx.Context()).requestID, "error", err)
			client.breakOff()
		}
	}}
}
