package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// health answers that the process serves.
func health(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// ready answers whether requests of known and unknown keys can be decided: the
// store must be readable. It writes nothing, since anybody may ask.
func (a *API) ready(c *gin.Context) {
	if _, err := a.opts.Store.CountBindings(c.Request.Context()); err != nil {
		a.opts.Logger.Warn("not ready", "error", err)
		c.JSON(http.StatusServiceUnavailable, gin.H{"status": "unavailable", "store": "unavailable"})
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "ok", "store": "ok"})
}
