package httpapi

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// problemBody is an error of the admin API, RFC 9457.
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func problem(c *gin.Context, status int, detail string) {
	c.Header("Content-Type", "application/problem+json")
	c.JSON(status, problemBody{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}

func notFound(c *gin.Context) { problem(c, http.StatusNotFound, "there is nothing here") }
