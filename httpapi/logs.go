package httpapi

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/key-ip-sentinel/sentinel/store"
)

// maxLogLimit is how many records one answer holds at most.
const maxLogLimit = 1000

// listLogs answers GET /admin/api/logs?limit=&before=&after=&key_hash=: the
// records of intercepts, newest first.
func (a *API) listLogs(c *gin.Context) {
	f, err := interceptFilter(c)
	if err != nil {
		problem(c, http.StatusBadRequest, err.Error())
		return
	}
	recs, err := a.opts.Store.ListIntercepts(c.Request.Context(), f)
	if err != nil {
		a.opts.Logger.Error("list intercepts", "error", err)
		problem(c, http.StatusServiceUnavailable, "the store does not answer")
		return
	}
	if recs == nil {
		recs = []store.Intercept{}
	}
	c.JSON(http.StatusOK, gin.H{"items": recs})
}

func interceptFilter(c *gin.Context) (store.InterceptFilter, error) {
	f := store.InterceptFilter{Limit: store.DefaultInterceptLimit}
	for name := range c.Request.URL.Query() {
		value := c.Query(name)
		var err error
		switch name {
		case "limit":
			f.Limit, err = strconv.Atoi(value)
			if err == nil && (f.Limit < 1 || f.Limit > maxLogLimit) {
				err = fmt.Errorf("want 1 to %d", maxLogLimit)
			}
		case "before":
			f.Before, err = strconv.ParseUint(value, 10, 64)
		case "after":
			f.After, err = strconv.ParseUint(value, 10, 64)
		case "key_hash":
			f.Hash, err = store.ParseKeyHash(value)
		default:
			err = fmt.Errorf("unknown parameter; known are limit, before, after, key_hash")
		}
		if err != nil {
			return f, fmt.Errorf("parameter %q with value %q: %w", name, value, err)
		}
	}
	return f, nil
}

// counts answers GET /admin/api/counts: what was counted since the start.
func (a *API) counts(c *gin.Context) { c.JSON(http.StatusOK, a.opts.Engine.Counts()) }
