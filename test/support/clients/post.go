// Posts bodies of known and of unknown length with the client of the standard library.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	for n := 0; n < 3; n++ {
		var body io.Reader = strings.NewReader(fmt.Sprintf(`{"go":%d.00}`, n))
		if n == 2 {
			body = io.MultiReader(body)
		}
		request, err := http.NewRequest("POST", os.Args[1], body)
		if err != nil {
			panic(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 {
			panic(answer.Status)
		}
	}
}
