// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"io"

	"github.com/mailha/mailha/internal/traffic/ledger"
)

// Result is what the ledgers of one load and of the sink behind the MTA prove together.
type Result = ledger.Result

// Audit joins the ledger of a load with that of the sink. Its errors name the ledger and the line that it can't read,
// or that contradicts another.
func Audit(loadLedger, sinkLedger io.Reader) (Result, error) {
	return ledger.Audit(loadLedger, sinkLedger)
}
